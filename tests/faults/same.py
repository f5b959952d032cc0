"""What two trainings must have in common to be the same, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from genbench import store
from genbench.training import checkpoint


def assert_same_training(ours: Path, theirs: Path) -> None:
    """Weights and average at every snapshot, history, and the last state with its optimisers, of
    two finished trainings that kept that state."""
    for path in theirs.rglob("*"):
        if path.suffix in (".safetensors", ".csv"):
            assert (ours / path.relative_to(theirs)).read_bytes() == path.read_bytes(), path.name
    ends = [store.read_metadata(folder / checkpoint.RESULT) for folder in (ours, theirs)]
    assert_same(*map(_timeless, ends), "end")
    states = [_timeless(checkpoint.load_state(folder)) for folder in (ours, theirs)]
    assert states[1]["step"] == states[1]["history"][-1]["step"] + 1
    assert states[1]["optimizers"].keys() == {row["player"] for row in states[1]["history"]}
    assert_same(*states, "state")


def assert_same(ours: Any, theirs: Any, where: str) -> None:
    """Tensors, numbers and texts in nested dictionaries and lists."""
    assert type(ours) is type(theirs), where
    if isinstance(theirs, torch.Tensor):
        assert ours.dtype == theirs.dtype, where
        assert torch.equal(ours, theirs), where
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs), where
        for name in theirs:
            assert_same(ours[name], theirs[name], f"{where}.{name}")
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs), where
        for number, (our, their) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(our, their, f"{where}[{number}]")
    else:
        assert ours == theirs, where


def _timeless(content: dict[str, Any] | None) -> dict[str, Any]:
    assert content is not None
    return {name: value for name, value in content.items() if name != "seconds"}
