"""The files of a training: the state to resume from, snapshots of the weights, and its result."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from genbench import store
from genbench.api.errors import GenbenchError

WEIGHTS = ("ema", "raw")
"""The two sets of weights of each snapshot."""

SNAPSHOTS = "snapshots"
HISTORY = "history.csv"
RESULT = "training.json"
"""Written last: the training has ended."""

METADATA = re.compile(
    r"training\.json|history\.csv\.json|checkpoint-[01]\.pt\.json"
    r"|snapshots/\d{12,}-(ema|raw)\.safetensors\.json"
)
"""The metadata that a training leaves in its folder."""

STATE = {"model", "average", "optimizers", "history", "step", "seconds", "counted", "kept"}


def save_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Replace the state to resume from. The previous one stays valid until the new one is whole:
    the two take turns between two files, and the newer valid one counts."""
    newest = _newest(folder)
    slot = 1 - newest[0] if newest else 0
    store.write_artefact(_slot(folder, slot), store.pack_state(state), {"step": state["step"]})


def load_state(folder: Path) -> dict[str, Any] | None:
    """The newest valid state, or ``None``. If the newest is damaged, the one before it is used.

    Raises ``GenbenchError`` if a valid one holds something else than a state.
    """
    newest = _newest(folder)
    if newest is None:
        return None
    slot, data = newest
    try:
        state = store.unpack_state(data)
        if state.keys() == STATE:
            return state
    except Exception:  # torch raises anything on what it did not write
        pass
    raise GenbenchError(f"{_slot(folder, slot)} holds no state to resume from: remove it")


def clear_state(folder: Path) -> None:
    """Remove the state of a finished training; its snapshots and history stay."""
    for slot in (0, 1):
        path = _slot(folder, slot)
        store.remove(store.metadata_path(path), path)


def save_snapshot(folder: Path, examples: int, weights: str, tensors: Mapping[str, Tensor]) -> None:
    """Store one set of ``WEIGHTS`` as safetensors."""
    data = store.pack_tensors(tensors)
    store.write_artefact(snapshot_path(folder, examples, weights), data, {"examples": examples})


def load_snapshot(folder: Path, examples: int, weights: str) -> dict[str, Tensor]:
    """The inverse of ``save_snapshot``. Raises ``store.Damaged`` when it is not there whole,
    ``GenbenchError`` when it is something else."""
    path = snapshot_path(folder, examples, weights)
    data, _ = store.require_artefact(path)
    try:
        return store.unpack_tensors(data)
    except Exception as error:  # safetensors and torch raise anything on what they did not write
        raise GenbenchError(f"{path} holds no tensors: remove it") from error


def snapshot_hash(folder: Path, examples: int, weights: str) -> str:
    """The SHA-256 of a snapshot that can be loaded, as its metadata has it."""
    metadata = store.read_metadata(store.metadata_path(snapshot_path(folder, examples, weights)))
    assert metadata is not None
    return str(metadata["sha256"])


def snapshot_path(folder: Path, examples: int, weights: str) -> Path:
    return folder / SNAPSHOTS / f"{examples:012d}-{weights}.safetensors"


def parts(folder: Path, snapshots: Sequence[int]) -> Iterator[Path]:
    """The artefacts that a training with these snapshots has left at its end."""
    for examples in snapshots:
        for weights in WEIGHTS:
            yield snapshot_path(folder, examples, weights)
    yield folder / HISTORY


def invalidate(folder: Path) -> None:
    """Mark the training as unfinished, since a part of it is lost. It starts again, with the same
    result bit for bit."""
    clear_state(folder)
    store.remove(folder / RESULT)


def _slot(folder: Path, slot: int) -> Path:
    return folder / f"checkpoint-{slot}.pt"


def _newest(folder: Path) -> tuple[int, bytes] | None:
    found: list[tuple[int, int, bytes]] = []
    for slot in (0, 1):
        try:
            artefact = store.read_artefact(_slot(folder, slot))
        except store.Damaged:
            continue
        if artefact is not None:
            found.append((artefact[1]["step"], slot, artefact[0]))
    if not found:
        return None
    _, slot, data = max(found, key=lambda item: item[0])
    return slot, data
