"""One pass over picture files: whether all can be used, and the hash of their bytes.

The results are kept with the size and the times of each file, so that the next pass over the same
files reads only these.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from genbench.api.errors import DataError
from genbench.io.decode import BadPicture, Header, check
from genbench.io.files import cause, contents, listed, shown
from genbench.io.threads import in_threads
from genbench.store import CannotWrite, Damaged, cache_folder, read_artefact, write_artefact

VERSION = 1
"""Increased whenever the same bytes would give another result."""

SETTLED = 2_000_000_000
"""Nanoseconds after which a change must show in a file's times, on any file system. Results of
younger files are not kept."""


@dataclass(frozen=True)
class ScannedImages:
    """The result of one pass over picture files."""

    headers: Sequence[Header]
    hash: str
    """16 hexadecimal digits that name the bytes of all files, in their order."""


class _ScannedFile(NamedTuple):
    stamp: tuple[int, int, int]
    """Size, and when the file's contents and the file itself were changed, in nanoseconds."""
    header: Header
    sha256: str


def scan_images(root: Path, names: Sequence[str]) -> ScannedImages:
    """The headers and the hash of the files of these names below ``root``, each read once and not
    held in memory; files that have not changed since an earlier pass are not read at all.

    Raises ``DataError`` that names up to 20 files that are missing, empty, not of these formats,
    damaged, animated, or not 8-bit grey or RGB.
    """
    start = time.time_ns()
    kept = _recall(root)
    seen = {name: kept[name] for name in names if name in kept and _unchanged(root, name, kept)}
    unseen = [name for name in names if name not in seen]
    bad = []
    looks = in_threads(lambda part: [_look(root, name) for name in part], unseen)
    for name, found in zip(unseen, chain.from_iterable(looks), strict=True):
        if isinstance(found, _ScannedFile):
            seen[name] = found
        else:
            bad.append(f"{shown(name)} ({found})")
    if bad:
        raise DataError(
            f"{shown(root)}: {len(bad):,} of {len(names):,} pictures cannot be used: "
            f"{listed(bad)}; convert or remove them"
        )
    settled = {n: seen[n] for n in unseen if start - max(seen[n].stamp[1:]) > SETTLED}
    if settled:
        _remember(root, {**kept, **settled})
    digest = hashlib.sha256()
    for name in names:
        digest.update(bytes.fromhex(seen[name].sha256))
    return ScannedImages([seen[name].header for name in names], digest.hexdigest()[:16])


def _look(root: Path, name: str) -> _ScannedFile | str:
    """What was seen, or the reason why the file cannot be used."""
    try:
        data, status = contents(f"{root}/{name}")
        return _ScannedFile(_stamp(status), check(data), hashlib.sha256(data).hexdigest())
    except BadPicture as error:
        return str(error)
    except OSError as error:
        return cause(error)


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _unchanged(root: Path, name: str, kept: Mapping[str, _ScannedFile]) -> bool:
    try:
        return _stamp(os.stat(f"{root}/{name}")) == kept[name].stamp
    except OSError:
        return False


def _place(root: Path) -> Path:
    folder = hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:16]
    return cache_folder() / "pictures" / f"{folder}.json"


def _recall(root: Path) -> dict[str, _ScannedFile]:
    """Empty if nothing has been kept, or if it is damaged."""
    with suppress(Damaged):
        found = read_artefact(_place(root))
        if found is not None and found[1].get("version") == VERSION:
            return _unpack(found[0])
    return {}


def _unpack(data: bytes) -> dict[str, _ScannedFile]:
    headers: dict[Header, Header] = {}  # most files share one
    seen = {}
    for name, (*stamp, mode, width, height, sha256) in json.loads(data).items():
        header = Header(mode, (width, height))
        size, modified, changed = stamp
        seen[name] = _ScannedFile(
            (size, modified, changed), headers.setdefault(header, header), sha256
        )
    return seen


def _remember(root: Path, seen: Mapping[str, _ScannedFile]) -> None:
    """If it cannot be written, the next pass reads everything again."""
    rows = {name: [*s.stamp, s.header.mode, *s.header.size, s.sha256] for name, s in seen.items()}
    with suppress(CannotWrite):
        write_artefact(_place(root), json.dumps(rows).encode(), {"version": VERSION})
