"""Files that are complete or absent: each is written under another name, synced and renamed.

Everything that genbench writes goes through here. Raises ``CannotWrite`` if that fails.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import socket
import stat
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from genbench.api.errors import GenbenchError

_REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
_ASIDE = re.compile(r"\.genbench-(?P<machine>[0-9a-f]{8})-(?P<process>\d+)-\d+\.tmp")
"""The names of files that are being written."""
_LONGEST_WRITE = 86_400
"""Seconds after which a file of another machine is no longer being written."""
_held: dict[Path, int] = {}
"""The folders that this process writes into for long, each with its inode."""


class CannotWrite(GenbenchError):
    """A file cannot be written (a full disk, a read-only folder, …). The run ends, since later
    files could not be written either."""

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
    Links are followed, and a file that is replaced keeps its mode.

    Raises ``CannotWrite``, also if ``path`` is a folder, a pipe or a device; the old file is then
    intact, or the new one whole.
    """
    with writing(path):
        path = Path(os.path.realpath(path))
        mode = _mode(path)
    make_folder(path.parent)
    number = zlib.crc32(os.fsencode(path.name))  # the same again, which replaces what was left
    aside = path.with_name(f".genbench-{_machine()}-{os.getpid()}-{number}.tmp")
    with writing(path):
        try:
            with aside.open("wb") as file:
                if mode is not None:
                    os.fchmod(file.fileno(), mode)
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
        _require_in_place(path)
        if path.is_dir():
            return
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        _sync(path.parent)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """While this process writes into ``folder``: if somebody moves or removes it, writing raises
    ``CannotWrite`` instead of making a new one in its place."""
    folder = Path(os.path.realpath(folder))
    with writing(folder):
        inode = folder.stat().st_ino
    outer = dict(_held)
    _held[folder] = inode
    try:
        yield
    finally:
        _held.clear()
        _held.update(outer)


def is_aside(path: Path) -> bool:
    """Whether a name is that of a file that genbench writes, or was writing when it was killed."""
    return _ASIDE.fullmatch(path.name) is not None


def remove_left_behind(folder: Path) -> None:
    """Remove what killed processes have left half written. Raises ``CannotWrite``."""
    for path in folder.rglob(".genbench-*"):
        if is_aside(path) and not _is_being_written(path):
            remove(path)


def refused(error: OSError) -> bool:
    """Whether an error in code that writes files itself (a download, say) comes from the disk."""
    return error.errno in _REFUSALS


def remove(*paths: Path) -> None:
    """Remove files, in this order; missing ones are skipped. Raises ``CannotWrite``."""
    for path in paths:
        with writing(path):
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """``write_bytes`` in UTF-8, in which a lone surrogate is written as its escape."""
    write_bytes(path, encoded(text))


def encoded(text: str) -> bytes:
    """In UTF-8. A lone surrogate, which has none, becomes ``\\udcff``: in JSON that is the same
    text."""
    return text.encode("utf-8", "backslashreplace")


def read_regular(path: Path, most: int | None = None) -> bytes:
    """The bytes of a regular file. Raises ``OSError``, also for a pipe or a device, which is never
    opened, for more than ``most`` bytes, and for a path that no file can have."""
    try:
        require_regular(path, os.stat(path))
        # Somebody may put a pipe in its place: opening one would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except ValueError as error:  # it holds the character NUL, say
        raise OSError(errno.EINVAL, str(error), str(path)) from None
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        require_regular(path, status)
        if most is not None and status.st_size > most:
            raise OSError(errno.EFBIG, f"longer than {most:,} bytes", str(path))
        return file.read()


def require_regular(path: str | Path, status: os.stat_result) -> None:
    """Raises ``OSError`` for a pipe, which could wait for ever, and for a device, which may have no
    end. A folder is refused by whatever opens it."""
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise OSError(errno.EINVAL, "not a regular file", str(path))


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an ``OSError`` inside into a ``CannotWrite`` that names ``path``; so too the
    ``ValueError`` of a path that no file can have."""
    try:
        yield
    except OSError as error:
        raise CannotWrite.of(path, error) from error
    except ValueError as error:  # it holds the character NUL, say
        raise CannotWrite.of(path, OSError(str(error))) from error


def _mode(path: Path) -> int | None:
    """The permissions of what is to be replaced, if it is there. Raises ``OSError``."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        raise OSError("it is there, and no regular file")
    return stat.S_IMODE(mode)


def _require_in_place(path: Path) -> None:
    for folder, inode in _held.items():
        if folder == path or folder in path.parents:
            try:
                same = folder.stat().st_ino == inode
            except OSError:
                same = False
            if not same:
                error = CannotWrite(
                    f"{folder} was moved or removed while genbench wrote into it: run the command "
                    "again and name the folder where it is now"
                )
                error.path = path
                raise error


def _is_being_written(aside: Path) -> bool:
    """Whether the process that began it, which need not hold a lock, may still run."""
    match = _ASIDE.fullmatch(aside.name)
    assert match is not None
    try:
        if match["machine"] != _machine():
            return time.time() - aside.stat().st_mtime < _LONGEST_WRITE
        os.kill(int(match["process"]), 0)
    except PermissionError:
        return True  # it is somebody else's
    except (OSError, OverflowError):
        return False
    return True


@cache
def _machine() -> str:
    """Names the machine and, in a container, its own processes: where numbers of processes mean
    the same."""
    with suppress(OSError):
        return _digest(f"{socket.gethostname()} {os.stat('/proc/self/ns/pid').st_ino}")
    return _digest(socket.gethostname())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _sync(folder: Path) -> None:
    """Sync the names in ``folder`` to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
