"""Damage under the output folder: found, named in one line, and out of the way of what mends it."""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from genbench import store
from genbench.api import ProgressCallback, ProgressEvent
from genbench.api.errors import GenbenchError
from genbench.experiment.stage_table import RECORD, STAGES
from genbench.training import checkpoint

RUN = "run.json"
"""What a run folder is for: written before its training starts."""

_STAGES = "|".join(sorted({stage.name for stage in STAGES}))
_OURS = re.compile(
    rf"{re.escape(RUN)}|{checkpoint.METADATA.pattern}"
    rf"|({_STAGES})/[0-9a-f]{{16}}(\.safetensors)?\.json"
)
"""The metadata that genbench writes into a run folder. A synchronised copy, a note or a logger's
file is none of its business."""


def repair(folder: Path, about: Mapping[str, Any] | None, report: ProgressCallback) -> None:
    """Name every damaged file of a run folder, and leave none: what is taken away is made anew by
    the stage that made it, from what is whole, as if it had never been finished.

    ``about`` is what ``run.json`` says; the real row has none. Nobody else may be writing here.
    """
    for metadata, error in list(store.damaged(folder, _OURS)):
        report(ProgressEvent("damaged", 0, 1, note=f"{error}; what rests on it is computed again"))
        # The records go first: as long as a part of theirs is missing, they are not finished.
        records = (folder / RECORD.name).glob("*.json")
        store.remove(*(file for file in records if _OURS.fullmatch(f"{RECORD.name}/{file.name}")))
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


def keep_traceback(folder: Path, error: BaseException) -> None:
    """Beside a run: that of what a plugin raised, as far as it can be written."""
    if isinstance(error, GenbenchError):
        return
    with suppress(Exception):
        text = "".join(traceback.format_exception(error))
        store.write_text(folder / "error.txt", text.encode("utf-8", "backslashreplace").decode())
