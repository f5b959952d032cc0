"""Damage under the output folder: found, named in one line, and out of the way of what mends it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from genbench import store
from genbench.api import ProgressCallback, ProgressEvent
from genbench.training import checkpoint

RUN = "run.json"
"""What a run folder is for: written before its training starts."""

LOGS = "logs"
"""What loggers leave in a run folder: nothing rests on it, and what is damaged there is theirs."""


def repair(folder: Path, about: Mapping[str, Any] | None, report: ProgressCallback) -> None:
    """Name every damaged file of a run folder, and leave none: what is taken away is made anew by
    the stage that made it, from what is whole, as if it had never been finished.

    ``about`` is what ``run.json`` says; the real row has none. Nobody else may be writing here.
    """
    for metadata, error in list(store.damaged(folder)):
        if folder / LOGS in metadata.parents:
            continue
        report(ProgressEvent("damaged", 0, 1, note=f"{error}; what rests on it is computed again"))
        # The records go first: as long as a part of theirs is missing, they are not finished.
        store.remove(*(folder / "records").glob("*.json"))
        if metadata == folder / RUN and about is not None:
            _describe_again(folder, about)
            continue
        if metadata.parent == folder / checkpoint.SNAPSHOTS:
            checkpoint.invalidate(folder)
        elif metadata == store.metadata_path(folder / checkpoint.HISTORY):
            store.remove(folder / checkpoint.RESULT)  # a last state has it still
        store.remove(metadata)


def metadata_if_whole(path: Path) -> dict[str, Any] | None:
    """Metadata; ``None`` if there are none, or damaged: who holds the folder repairs them."""
    try:
        return store.read_metadata(path)
    except store.Damaged:
        return None


def _describe_again(folder: Path, about: Mapping[str, Any]) -> None:
    """Rewrite ``run.json``; where neither its rest nor the folder's name tells that the training is
    this one, it starts anew, so that nobody takes another for it."""
    identity = str(about["identity"])
    rest = b""
    with suppress(OSError):
        rest = (folder / RUN).read_bytes()
    if identity.encode() not in rest and not folder.name.endswith(f"-{identity[:8]}"):
        checkpoint.invalidate(folder)
    store.write_metadata(folder / RUN, about)
