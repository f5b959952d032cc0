"""Files that are whole or absent: written aside, synced, renamed.

Everything that genbench writes goes through here, and raises ``CannotWrite`` where it fails.
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
"""How the names of files end that are being written."""


class CannotWrite(GenbenchError):
    """The disk is full, the folder read-only, …: nothing that follows could be stored either."""

    path: Path | None = None
    """What could not be written. ``None``: the disk is not at fault; a plugin raised this, or it
    left this process no free file descriptor."""

    @classmethod
    def of(cls, path: Path, error: OSError) -> CannotWrite:
        """What to raise where writing ``path`` has raised ``error``."""
        said = cls(f"cannot write {path}: {error.strerror or error}")
        said.path = None if error.errno in (errno.EMFILE, errno.ENFILE) else path
        return said


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
    """Create a folder and those that it lies in, where they are not there. Raises ``CannotWrite``.

    A new folder's name is synced as a file's is, or a crash could lose what is written into it.
    """
    with writing(path):
        if path.is_dir():
            return
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        _sync(path.parent)


def refused(error: OSError) -> bool:
    """Whether an error of code that writes by itself, as a download does, is the disk's."""
    return error.errno in _REFUSALS


def remove(*paths: Path) -> None:
    """Remove files, in this order, those that are there. Raises ``CannotWrite``."""
    for path in paths:
        with writing(path):
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """``write_bytes`` in UTF-8."""
    write_bytes(path, text.encode())


def cache_folder() -> Path:
    """Where what can be computed again is kept between commands: ``$GENBENCH_CACHE``, or
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
    """Raises ``CannotWrite``, naming ``path``, for an ``OSError`` within."""
    try:
        yield
    except OSError as error:
        raise CannotWrite.of(path, error) from error


def _sync(folder: Path) -> None:
    """Make the names in ``folder`` last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
