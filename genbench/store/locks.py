"""The owner of a folder, and the lock of the process that writes into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from genbench.api.errors import UsageError
from genbench.store.files import held, is_aside, make_folder, remove_left_behind, writing

if TYPE_CHECKING:
    from filelock import BaseFileLock

_LOCK = ".lock"


def require_own(folder: Path, marker: str) -> None:
    """Raises ``UsageError`` unless ``folder`` is new, is empty, or holds genbench's ``marker``."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder")
    if not folder.is_dir() or (folder / marker).exists():
        return
    # A killed process may have left the lock and an incomplete marker.
    if not all(path.name == _LOCK or is_aside(path) for path in folder.iterdir()):
        raise UsageError(f"{folder} belongs to something else: it holds files but no {marker}")


@contextmanager
def lock(folder: Path, busy: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Lock ``folder`` for this process. If another process holds it, call ``busy`` and wait.
    Incomplete files of a killed process are removed. Raises ``CannotWrite``; whatever writes into
    the folder raises it too, once the folder is moved away.
    """
    from filelock import FileLock

    make_folder(folder)
    file = FileLock(folder / _LOCK)
    if not _acquired(file, timeout=0):
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
