"""What a training leaves on disk: the state to resume from, and snapshots of the weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from genbench import storage


def save_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Replace the state to resume from. The previous one stays valid until the new one is whole:
    the two take turns between two files, and the newer valid one counts."""
    newest = _newest(folder)
    slot = 1 - newest[0] if newest else 0
    storage.write_artefact(_slot(folder, slot), storage.pack_state(state), {"step": state["step"]})


def load_state(folder: Path) -> dict[str, Any] | None:
    """The newest valid state, or ``None``. A damaged one is passed over for the one before it."""
    newest = _newest(folder)
    return storage.unpack_state(newest[1]) if newest else None


def clear_state(folder: Path) -> None:
    """Remove the state of a training that has finished: its snapshots and history stand."""
    for slot in (0, 1):
        path = _slot(folder, slot)
        storage.card_path(path).unlink(missing_ok=True)
        path.unlink(missing_ok=True)


def save_snapshot(folder: Path, images: int, weights: str, tensors: Mapping[str, Tensor]) -> None:
    """Store one set of weights, ``ema`` or ``raw``, as safetensors."""
    data = storage.pack_tensors(tensors)
    storage.write_artefact(snapshot_path(folder, images, weights), data, {"images": images})


def load_snapshot(folder: Path, images: int, weights: str) -> dict[str, Tensor]:
    """The inverse of ``save_snapshot``. Raises ``storage.Damaged`` when it is not there whole."""
    path = snapshot_path(folder, images, weights)
    artefact = storage.read_artefact(path)
    if artefact is None:
        raise storage.Damaged(f"{path} is missing or unfinished")
    return storage.unpack_tensors(artefact[0])


def snapshot_path(folder: Path, images: int, weights: str) -> Path:
    return folder / "snapshots" / f"{images:012d}-{weights}.safetensors"


def _slot(folder: Path, slot: int) -> Path:
    return folder / f"checkpoint-{slot}.pt"


def _newest(folder: Path) -> tuple[int, bytes] | None:
    found: list[tuple[int, int, bytes]] = []
    for slot in (0, 1):
        try:
            artefact = storage.read_artefact(_slot(folder, slot))
        except storage.Damaged:
            continue
        if artefact is not None:
            found.append((artefact[1]["step"], slot, artefact[0]))
    if not found:
        return None
    _, slot, data = max(found, key=lambda item: item[0])
    return slot, data
