"""Files that are complete or absent: each is written under another name, synced and renamed.

Everything that genbench writes goes through here. Raises ``CannotWrite`` if that fails.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from genbench.api.errors import GenbenchError

_REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
ASIDE = ".tmp"
"""The suffix of a file that is being written."""


class CannotWrite(GenbenchError):
    """A file cannot be written (a full disk, a read-only folder, …). The run ends, since later
    files could not be written either."""


def write_bytes(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data``, so that a crash at any moment leaves the old or the new file.

    Raises ``CannotWrite``; the old file is then intact, or the new one whole.
    """
    make_folder(path.parent)
    aside = path.with_name(f".{path.name}.{os.getpid()}{ASIDE}")
    with writing(path):
        try:
            with aside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        except BaseException:
            with suppress(OSError):
                aside.unlink(missing_ok=True)
            raise
        _sync(path.parent)


def make_folder(path: Path) -> None:
    """Create a folder and its parents if they do not exist. Raises ``CannotWrite``.

    A new folder's name is synced as a file's is, or a crash could lose what is written into it.
    """
    with writing(path):
        if path.is_dir():
            return
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        _sync(path.parent)


def refused(error: OSError) -> bool:
    """Whether an error in code that writes files itself (a download, say) comes from the disk."""
    return error.errno in _REFUSALS


def remove(*paths: Path) -> None:
    """Remove files, in this order; missing ones are skipped. Raises ``CannotWrite``."""
    for path in paths:
        with writing(path):
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """``write_bytes`` in UTF-8."""
    write_bytes(path, text.encode())


def cache_folder() -> Path:
    """The folder of what is kept between commands and can be recomputed: ``$GENBENCH_CACHE``, or
    ``~/.cache/genbench``; for a user without a home, among the temporary files."""
    given = os.environ.get("GENBENCH_CACHE")
    if given:
        return Path(given)
    try:
        return Path.home() / ".cache" / "genbench"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / "genbench-cache"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an ``OSError`` inside into a ``CannotWrite`` that names ``path``."""
    try:
        yield
    except OSError as error:
        raise CannotWrite(f"cannot write {path}: {error.strerror or error}") from error


def _sync(folder: Path) -> None:
    """Sync the names in ``folder`` to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
