"""What is kept from one command to the next, and can be computed again: its place and its size.

Nothing there is trusted further than it can be checked: what is damaged, or is not what it should
be, counts as absent. When there is more than the limit, what was used least recently goes first.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from genbench.api.errors import UsageError
from genbench.store.artefacts import metadata_path, read_artefact, write_artefact
from genbench.store.files import CannotWrite, remove, remove_left_behind

T = TypeVar("T")

Contents: TypeAlias = tuple[bytes, Mapping[str, Any]]
"""The bytes of a file and its metadata; no bytes if only metadata are stored."""

KINDS = {"features": "safetensors", "pictures": "json"}
"""The folders of the cache, and the suffix of the files in each. Whatever else lies there, weights
for instance, is not touched."""

GIGABYTE = 10**9
LIMIT = "GENBENCH_CACHE_LIMIT"
"""The environment variable of the most gigabytes that are kept."""
DEFAULT_LIMIT = 10.0


@dataclass(frozen=True)
class Kept:
    """One thing in the cache: a file and its metadata."""

    path: Path
    bytes: int
    used: float
    """When it was written or read last, in seconds since 1970."""


def home_folder() -> Path | None:
    """``~/.cache/genbench``; for a user without a home, a folder among the temporary files that
    nobody else can write into or read, or ``None`` if somebody has taken its place."""
    try:
        return Path.home() / ".cache" / "genbench"
    except RuntimeError:
        pass
    try:
        folder = Path(tempfile.gettempdir()) / f"genbench-{os.getuid()}"
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
    except OSError:
        return None
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return folder if ours and not found.st_mode & 0o077 else None


def cache_folder() -> Path | None:
    """``$GENBENCH_CACHE``, or ``home_folder``. ``None``: nothing is kept. Raises ``UsageError`` as
    ``cache_limit`` does, before anything is computed that could not be kept."""
    cache_limit()
    given = os.environ.get("GENBENCH_CACHE")
    return Path(given) if given else home_folder()


def cache_path(*parts: str) -> Path | None:
    """A place in the cache. Raises as ``cache_folder`` does."""
    folder = cache_folder()
    return None if folder is None else folder.joinpath(*parts)


def cache_limit() -> float:
    """The most bytes that are kept. Raises ``UsageError`` if the variable is no such number."""
    given = os.environ.get(LIMIT) or str(DEFAULT_LIMIT)
    with suppress(ValueError):
        if float(given) >= 0:
            return float(given) * GIGABYTE
    raise UsageError(f"{LIMIT} is {given!r}, not a number of gigabytes")


def read_cached(path: Path | None, unpack: Callable[[Contents], T]) -> T | None:
    """What ``unpack`` makes of the artefact at ``path``, which counts as used now; ``None`` if
    there is none, or if it or its contents are not as they should be."""
    if path is None:
        return None
    try:
        found = read_artefact(path)
        if found is None:
            return None
        value = unpack(found)
    except MemoryError:
        raise
    except Exception:  # it may hold anything
        return None
    with suppress(OSError):
        os.utime(metadata_path(path))
    return value


def write_cached(path: Path | None, data: bytes, metadata: Mapping[str, Any]) -> None:
    """Keep an artefact, if it can be written, and remove what is then too much."""
    most = cache_limit()
    if path is None or len(data) > most:
        return
    with suppress(CannotWrite):
        write_artefact(path, data, metadata)
        remove_left_behind(path.parent)
        _trim(path.parent.parent, most)


def cache_contents(folder: Path) -> list[Kept]:
    """What genbench keeps in ``folder``, that which was used last at the end."""
    sizes: dict[Path, int] = {}
    used: dict[Path, float] = {}
    for kind, suffix in KINDS.items():
        name = re.compile(rf"(?P<kept>[0-9a-f]{{16}}\.{suffix})(\.json)?")
        with suppress(OSError):
            for file in os.scandir(folder / kind):
                match = name.fullmatch(file.name)
                if match is None or not file.is_file(follow_symlinks=False):
                    continue
                with suppress(OSError):  # another command has removed it
                    status = file.stat(follow_symlinks=False)
                    path = folder / kind / match["kept"]
                    sizes[path] = sizes.get(path, 0) + status.st_size
                    used[path] = max(used.get(path, 0.0), status.st_mtime)
    return sorted((Kept(p, sizes[p], used[p]) for p in sizes), key=lambda kept: kept.used)


def clear_cache(folder: Path) -> list[Kept]:
    """Remove what genbench keeps in ``folder``, and return it. Raises ``CannotWrite``."""
    found = cache_contents(folder)
    for kept in found:
        _remove(kept)
    for kind in KINDS:
        remove_left_behind(folder / kind)
    return found


def _trim(folder: Path, most: float) -> None:
    found = cache_contents(folder)
    total = sum(kept.bytes for kept in found)
    for kept in found:
        if total <= most:
            return
        _remove(kept)
        total -= kept.bytes


def _remove(kept: Kept) -> None:
    remove(metadata_path(kept.path), kept.path)
