"""A stage: a value that is computed once and stored under the fingerprint of its inputs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from genbench.api.execution import Ranks
from genbench.store.artefacts import (
    Damaged,
    fingerprint,
    read_artefact,
    read_metadata,
    write_artefact,
    write_metadata,
)
from genbench.store.cache import Contents, read_cached, write_cached
from genbench.store.files import CannotWrite

T = TypeVar("T")


def _unchanged(contents: Any) -> Any:
    return contents


@dataclass(frozen=True)
class Artefact(Generic[T]):
    """The value of a stage, computed now or in an earlier call."""

    identity: str
    path: Path
    """Where it is stored, if it is kept."""
    value: T


@dataclass(frozen=True)
class Stage(Generic[T]):
    """How one kind of value is identified, computed and stored."""

    name: str
    """The folder of its artefacts."""
    version: int
    """Increased whenever the same inputs would give another value."""
    inputs: tuple[str, ...]
    """The names of all inputs that determine the value."""
    pack: Callable[[T], Contents] = _unchanged
    unpack: Callable[[Contents], T] = _unchanged
    """By default, the values are ``Contents`` themselves."""
    suffix: str = ".json"
    """Of the stored file; ``.json`` if only metadata are stored."""
    kept: Callable[[T, float], bool] = lambda value, seconds: True
    """Given the seconds that a value took, whether it is stored."""
    alone: bool = False
    """Whether rank 0 computes alone and sends the value to the others; else all ranks compute."""
    cache: bool = False
    """Whether losing an artefact costs nothing but time, so that ``store.cache`` keeps it: one that
    is damaged, or another's, is computed again, and one that cannot be written is not stored."""

    def identity(self, inputs: Mapping[str, Any]) -> str:
        """16 hexadecimal digits that name a value. ``inputs``: JSON-like, one for each declared
        name; raises ``ValueError`` for others."""
        if inputs.keys() != set(self.inputs):
            raise ValueError(f"{self.name} is decided by {self.inputs}, not by {tuple(inputs)}")
        return fingerprint({"stage": self.name, "version": self.version, **inputs})

    def once(
        self,
        ranks: Ranks,
        folder: Path,
        inputs: Mapping[str, Any],
        compute: Callable[[], T],
    ) -> Artefact[T]:
        """The value stored for ``inputs`` in ``folder``; if there is none, the value that
        ``compute`` returns, which is then stored. Rank 0 looks and writes. Raises what ``compute``
        raises, ``Damaged`` and ``CannotWrite``, on every rank.
        """
        identity = self.identity(inputs)
        path = self._path(folder, identity)
        found = ranks.on_rank_zero(lambda: self._read(path))
        if found is not None:
            return Artefact(identity, path, found)
        start = time.perf_counter()
        if self.alone:
            value = ranks.on_rank_zero(compute)
        else:
            try:
                value = compute()
            except (CannotWrite, KeyboardInterrupt):
                raise  # rank 0 writes, and has told the others
            except BaseException as error:
                ranks.barrier(error)
                raise
        seconds = time.perf_counter() - start
        ranks.on_rank_zero(lambda: self._write(path, value) if self.kept(value, seconds) else None)
        return Artefact(identity, path, value)

    def find(self, folder: Path, inputs: Mapping[str, Any]) -> T | None:
        """The value stored for ``inputs``; ``None`` if there is none, or if it is damaged."""
        try:
            return self._read(self._path(folder, self.identity(inputs)))
        except Damaged:
            return None

    def _path(self, folder: Path, identity: str) -> Path:
        return folder / self.name / f"{identity}{self.suffix}"

    def _read(self, path: Path) -> T | None:
        """The value at ``path``; ``None`` if there is none, or if what is there is whole but no
        such value, so that it is computed again. Raises ``Damaged``."""
        if self.cache:
            return read_cached(path, partial(self._own, path))
        contents: Contents | None
        if self.suffix == ".json":
            metadata = read_metadata(path)
            contents = None if metadata is None else (b"", metadata)
        else:
            contents = read_artefact(path)
        if contents is None:
            return None
        try:
            return self.unpack(contents)
        except MemoryError:
            raise
        except Exception:  # what a plugin or an earlier version has stored may be anything
            return None

    def _own(self, path: Path, contents: Contents) -> T:
        if contents[1]["identity"] != path.stem:
            raise Damaged(f"{path} is damaged: it is another's")
        return self.unpack(contents)

    def _write(self, path: Path, value: T) -> None:
        data, metadata = self.pack(value)
        if self.cache:
            write_cached(path, data, {**metadata, "identity": path.stem})
        elif self.suffix == ".json":
            write_metadata(path, metadata)
        else:
            write_artefact(path, data, metadata)
