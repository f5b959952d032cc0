"""One pass over picture files: whether all can be used, and the hash of their bytes.

The results are kept with the stamp of each file, so that the next pass over the same files reads
only the stamps; and with them, whoever reads a file later can tell whether it is still the one that
was hashed.
"""

from __future__ import annotations

import hashlib
import json
import operator
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from genbench.api.errors import DataError
from genbench.io.decode import BadPicture, Header, check
from genbench.io.files import Stamp, cause, contents, listed, shown, stamp
from genbench.io.threads import in_threads
from genbench.store import Contents, cache_path, read_cached, write_cached

VERSION = 2
"""Increased whenever the same bytes would give another result."""

SETTLED = 2_000_000_000
"""Nanoseconds after which a change must show in a file's times, on any file system. The stamps of
younger files are not believed."""


@dataclass(frozen=True)
class ScannedImages:
    """The result of one pass over picture files."""

    headers: Sequence[Header]
    hash: str
    """16 hexadecimal digits that name the bytes of all files, in their order."""
    hashed: HashedFiles


class HashedFiles:
    """What was hashed, 64 bytes a file: each is compared with it whenever it is read."""

    def __init__(self, stamps: Sequence[Stamp], sha256: bytes) -> None:
        self._stamps = np.array(stamps, np.int64)
        self._sha256 = np.frombuffer(sha256, np.uint8).reshape(-1, 32)

    def sha256(self, index: int) -> str:
        """Of the file at ``index``, in hexadecimal digits."""
        return bytes(self._sha256[index]).hex()

    def hold(self, index: int, data: bytes, now: Stamp) -> bool:
        """Whether the file at ``index`` holds what was hashed, by its stamp ``now`` or else by
        its bytes ``data``."""
        if self._stamps[index].tolist() == [*now]:
            return True
        return bool(hashlib.sha256(data).digest() == self._sha256[index].tobytes())


_NONE: Stamp = (-1, 0, 0, 0)
"""The stamp of no file."""


class _ScannedFile(NamedTuple):
    stamp: Stamp
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
    young = {name for name in unseen if start - max(seen[name].stamp[1:3]) <= SETTLED}
    settled = {name: seen[name] for name in unseen if name not in young}
    if settled:
        _remember(root, {**kept, **settled})
    stamps = [_NONE if name in young else seen[name].stamp for name in names]
    sha256 = bytes.fromhex("".join(seen[name].sha256 for name in names))
    return ScannedImages(
        [seen[name].header for name in names],
        hashlib.sha256(sha256).hexdigest()[:16],
        HashedFiles(stamps, sha256),
    )


def _look(root: Path, name: str) -> _ScannedFile | str:
    """What was seen, or the reason why the file cannot be used."""
    try:
        data, found = contents(f"{root}/{name}")
        return _ScannedFile(found, check(data), hashlib.sha256(data).hexdigest())
    except BadPicture as error:
        return str(error)
    except OSError as error:
        return cause(error)


def _unchanged(root: Path, name: str, kept: Mapping[str, _ScannedFile]) -> bool:
    try:
        return stamp(os.stat(f"{root}/{name}")) == kept[name].stamp
    except OSError:
        return False


def _place(root: Path) -> Path | None:
    folder = hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:16]
    return cache_path("pictures", f"{folder}.json")


def _recall(root: Path) -> dict[str, _ScannedFile]:
    """Empty if nothing has been kept, or if it is damaged."""
    return read_cached(_place(root), _unpack) or {}


def _unpack(contents: Contents) -> dict[str, _ScannedFile]:
    data, metadata = contents
    if metadata["version"] != VERSION:
        return {}
    headers: dict[Header, Header] = {}  # most files share one
    seen = {}
    for name, (*found, mode, width, height, sha256) in json.loads(data).items():
        header = Header(mode, (operator.index(width), operator.index(height)))
        size, modified, changed, inode = map(operator.index, found)
        if len(bytes.fromhex(sha256)) != 32 or mode not in ("L", "RGB"):
            raise ValueError(f"no picture: {mode}, {sha256}")
        seen[name] = _ScannedFile(
            (size, modified, changed, inode), headers.setdefault(header, header), sha256
        )
    return seen


def _remember(root: Path, seen: Mapping[str, _ScannedFile]) -> None:
    rows = {name: [*s.stamp, s.header.mode, *s.header.size, s.sha256] for name, s in seen.items()}
    write_cached(_place(root), json.dumps(rows).encode(), {"version": VERSION})
