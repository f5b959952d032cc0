"""The owner of a folder, and the lock of the process that writes into it."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from genbench.api.errors import UsageError
from genbench.store.files import (
    CannotWrite,
    held,
    is_aside,
    make_folder,
    remove_left_behind,
    writing,
)

if TYPE_CHECKING:
    from filelock import BaseFileLock

_LOCK = ".lock"
_MARK = ".lock-held"
"""There while the folder is locked, where the file system has no ``flock``."""
_NO_FLOCK = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}
"""What such a file system says: Lustre mounted without, NFS without its lock service, some FUSE."""


def require_own(folder: Path, marker: str) -> None:
    """Raises ``UsageError`` unless ``folder`` is new, is empty, or holds genbench's ``marker``."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder")
    if not folder.is_dir() or (folder / marker).exists():
        return
    # A killed process may have left the lock and an incomplete marker.
    if not all(path.name in (_LOCK, _MARK) or is_aside(path) for path in folder.iterdir()):
        raise UsageError(f"{folder} belongs to something else: it holds files but no {marker}")


@contextmanager
def lock(folder: Path, busy: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Lock ``folder`` for this process. If another process holds it, call ``busy`` and wait.
    Incomplete files of a killed process are removed. Raises ``CannotWrite``; whatever writes into
    the folder raises it too, once the folder is moved away.

    Where the file system cannot lock, a file with the process's number stands for the lock; that of
    a killed process of the same machine is taken over.
    """
    from filelock import FileLock, SoftFileLock

    make_folder(folder)
    file: BaseFileLock = FileLock(folder / _LOCK, fallback_to_soft=False)
    try:
        free = _acquired(file, timeout=0)
    except CannotWrite as error:
        if getattr(error.__cause__, "errno", None) not in _NO_FLOCK:
            raise
        file = SoftFileLock(folder / _MARK)
        free = _acquired(file, timeout=0)
    if not free:
        busy()
        _acquired(file, timeout=-1)
    try:
        with held(folder):
            remove_left_behind(folder)
            yield
    finally:
        file.release()


def _acquired(file: BaseFileLock, timeout: float) -> bool:
    from filelock import Timeout

    with writing(Path(file.lock_file)):
        try:
            file.acquire(timeout=timeout)
        except Timeout:
            return False
    return True
