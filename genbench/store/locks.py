"""The owner of a folder, and the lock of the process that writes into it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from genbench.api.errors import UsageError
from genbench.store.files import ASIDE, make_folder, remove, writing

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
    ours = (_LOCK, f".{marker}.")
    if not all(path.name.startswith(ours) for path in folder.iterdir()):
        raise UsageError(f"{folder} belongs to something else: it holds files but no {marker}")


@contextmanager
def lock(folder: Path, busy: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Lock ``folder`` for this process. If another process holds it, call ``busy`` and wait.
    Incomplete files of a killed process are removed. Raises ``CannotWrite``.
    """
    from filelock import FileLock

    make_folder(folder)
    held = FileLock(folder / _LOCK)
    if not _acquired(held, timeout=0):
        busy()
        _acquired(held, timeout=-1)
    try:
        remove(*(path for path in folder.rglob(f".*{ASIDE}") if not _is_being_written(path)))
        yield
    finally:
        held.release()


def _acquired(held: BaseFileLock, timeout: float) -> bool:
    from filelock import Timeout

    with writing(Path(held.lock_file)):
        try:
            held.acquire(timeout=timeout)
        except Timeout:
            return False
    return True


def _is_being_written(aside: Path) -> bool:
    """Whether the process that began to write the file still runs; it need not hold the lock."""
    try:
        os.kill(int(aside.name.split(".")[-2]), 0)
    except PermissionError:
        return True  # another user's process
    except (OSError, OverflowError, ValueError):
        return False
    return True
