"""Which files a plugin reads that its identity does not hold."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

from genbench import registry

SYSTEM = ("/dev", "/etc", "/proc", "/sys", "/usr", "/var")


@cache
def opened_files() -> set[str]:
    """The absolute paths of all files that this process opens from the first call on; the set
    grows. What a library opens without Python, as safetensors does, is not seen."""
    opened: set[str] = set()

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str):
            opened.add(os.path.abspath(arguments[0]))

    sys.addaudithook(watch)
    return opened


def undeclared_reads(code: registry.Code, known: Collection[Path]) -> list[Path]:
    """The files that were opened and are neither in ``code``, nor code themselves, nor of
    genbench, the system, an installed package or the ``known`` folders."""
    ours = {Path(file).parent for file in registry.own_code().files}
    folders = {*map(Path, SYSTEM), *ours, *(folder.absolute() for folder in known)}
    return sorted(
        path
        for path in map(Path, opened_files())
        if str(path) not in code.files
        and path.suffix not in (".py", ".pyc")
        and path.is_file()  # what a check has written is gone
        and not registry.is_installed(path)
        and folders.isdisjoint(path.parents)
    )
