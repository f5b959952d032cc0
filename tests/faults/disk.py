"""Every call that changes a disk, seen before it is made: it can fail, tear, or never return."""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Call:
    """A call that is about to change something under the watched folder."""

    kind: str
    """``open`` (for writing), ``write``, ``fsync``, ``replace``, ``mkdir`` or ``unlink``."""
    path: Path
    tear: Callable[[], None] = lambda: None
    """Of a write: puts half of the bytes on the disk."""


@contextmanager
def watched(folder: Path, before: Callable[[Call], None]) -> Iterator[None]:
    """``before`` is given each call under ``folder``, and may raise, or end the process."""
    root = os.path.abspath(folder)

    def tell(kind: str, path: Any, tear: Callable[[], None] = lambda: None) -> None:
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        where = os.path.abspath(os.fspath(path))
        if os.path.commonpath([root, where]) == root:
            before(Call(kind, Path(where), tear))

    def opening(function: Callable[..., Any]) -> Callable[..., Any]:
        def opened(file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
            if not set(mode) & set("wax+") or isinstance(file, int):
                return function(file, mode, *arguments, **named)
            tell("open", file)
            return _File(function(file, mode, *arguments, **named), file, tell)

        return opened

    def telling(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def told(path: Any, *arguments: Any, **named: Any) -> Any:
            tell(kind, path)
            return function(path, *arguments, **named)

        return told

    os_open = os.open

    def low_open(path: Any, flags: int, *arguments: Any, **named: Any) -> int:
        # A file without a name is a probe, as filelock's of what the file system can do.
        nameless = flags & os.O_TMPFILE == os.O_TMPFILE
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and not nameless:
            tell("open", path)
        return os_open(path, flags, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        for module in (io, builtins):
            patch.setattr(module, "open", opening(module.open))
        patch.setattr(os, "open", low_open)
        for kind in ("fsync", "replace", "rename", "mkdir", "unlink", "remove"):
            name = {"rename": "replace", "remove": "unlink"}.get(kind, kind)
            patch.setattr(os, kind, telling(name, getattr(os, kind)))
        yield


class _File:
    """A file opened for writing, whose writes are told."""

    def __init__(self, file: Any, path: Any, tell: Callable[..., None]) -> None:
        self._file, self._path, self._tell = file, path, tell

    def write(self, data: Any) -> int:
        def tear() -> None:
            self._file.write(data[: len(data) // 2])
            self._file.flush()

        self._tell("write", self._path, tear)
        return int(self._file.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
