"""Files that a user names. Only regular files are opened, and every error is one line."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import TypeAlias, TypeVar

from genbench.api.errors import DataError
from genbench.store.files import require_regular

T = TypeVar("T")

Stamp: TypeAlias = tuple[int, int, int, int]

SHOWN = 20
"""The most names in one message."""


def shown(name: str | Path) -> str:
    """A name as text that every terminal and every file can hold: a newline, a byte that is not
    UTF-8 and whatever else cannot be printed is escaped."""
    text = str(name)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def listed(names: Iterable[str]) -> str:
    """The first ``SHOWN`` names, and the number of the others."""
    names = iter(names)
    first = list(islice(names, SHOWN))
    more = sum(1 for _ in names)
    return ", ".join(first) + (f", and {more:,} more" if more else "")


def cause(error: Exception) -> str:
    """Why something failed, in one line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:200] or type(error).__name__


def contents(path: str, most: int | None = None) -> tuple[bytes, Stamp]:
    """The bytes of a file, or the first ``most`` of them, and its stamp.

    Raises ``OSError``, also if it is neither a file nor a folder, or is written to meanwhile.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        require_regular(path, status)
        if most is not None:
            return os.read(descriptor, most), stamp(status)
        parts = []
        while part := os.read(descriptor, status.st_size + 1):
            parts.append(part)
        after = os.fstat(descriptor)
        if (after.st_size, after.st_mtime_ns) != (status.st_size, status.st_mtime_ns):
            raise OSError(errno.EBUSY, "changed while it was read", path)
        return b"".join(parts), stamp(status)
    finally:
        os.close(descriptor)


def stamp(status: os.stat_result) -> Stamp:
    """What tells a file from what it was before, without its bytes: its size, when its contents and
    the file itself were changed, in nanoseconds, and its inode."""
    inode = status.st_ino % (1 << 63)  # in 64 bits with a sign, as the others are
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, inode


@contextmanager
def unchanging(*paths: Path) -> Iterator[None]:
    """Around code that reads files more than once. Raises ``OSError`` if they are not there, or are
    others afterwards."""
    before = [stamp(os.stat(path)) for path in paths]
    yield
    for path, known in zip(paths, before, strict=True):
        if stamp(os.stat(path)) != known:
            raise OSError(errno.EBUSY, "changed while it was read", str(path))


def load(path: Path, read: Callable[[str, BufferedReader], T]) -> T:
    """The value that ``read`` returns for a file, given its name for messages and the open file.

    Raises ``DataError`` if the file cannot be opened, is empty, or ``read`` raises anything:
    numpy, zipfile, zlib and torch do so on damaged files.
    """
    where = shown(path)
    with fitting(where):
        try:
            require_regular(path, os.stat(path))
            with open(path, "rb") as file:
                if not file.peek(1):
                    raise DataError(f"{where}: the file is empty")
                return read(where, file)
        except (DataError, MemoryError):
            raise
        except OSError as error:
            raise DataError(f"{where}: {cause(error)}") from error
        except Exception as error:
            raise DataError(f"{where}: truncated or damaged ({cause(error)})") from error


@contextmanager
def fitting(where: str) -> Iterator[None]:
    """Raises ``DataError`` if the code inside runs out of memory."""
    try:
        yield
    except MemoryError as error:
        raise DataError(f"{where}: does not fit into memory ({cause(error)})") from error
