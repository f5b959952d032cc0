"""Damaged files of a run folder: each is reported in one line and removed, to be recomputed."""

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
"""Describes the training of a run folder; written before the training starts."""

_STAGES = "|".join(sorted({stage.name for stage in STAGES}))
_OURS = re.compile(
    rf"{re.escape(RUN)}|{checkpoint.METADATA.pattern}"
    rf"|({_STAGES})/[0-9a-f]{{16}}(\.safetensors)?\.json"
)
"""The metadata that genbench writes into a run folder. A synchronised copy, a note or a logger's
file is none of its business."""


def repair(folder: Path, about: Mapping[str, Any] | None, report: ProgressCallback) -> None:
    """Report and remove every damaged file of a run folder. Its stage then recomputes it from the
    files that are intact.

    ``about`` is the content of ``run.json``; the real row has none. The caller holds the folder's
    lock.
    """
    for metadata, error in list(store.damaged(folder, _OURS)):
        report(ProgressEvent("damaged", 0, 1, note=f"{error}; what depends on it is recomputed"))
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
    """The metadata; ``None`` if there are none, or if they are damaged (the process that holds the
    folder repairs them)."""
    try:
        return store.read_metadata(path)
    except store.Damaged:
        return None


def _describe_again(folder: Path, about: Mapping[str, Any]) -> None:
    """Rewrite ``run.json``. If neither what is left of it nor the folder's name has this training's
    identity, the training starts again, since the folder may hold another one."""
    identity = str(about["identity"])
    rest = b""
    with suppress(OSError):
        rest = store.read_regular(folder / RUN)
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
