"""Published files of weights: their place, their hash, their download."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from genbench.api.errors import DataError, one_line
from genbench.store import (
    CannotWrite,
    home_folder,
    make_folder,
    read_regular,
    refused,
    unpack_state,
)

N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True)
class PublishedWeights:
    """A file of weights as its authors publish it."""

    what: str
    """``the published Inception network``."""
    file: str
    url: str
    sha256: str
    """The first digits of its hash, as in the name of the file."""

    def path(self) -> Path:
        """The place of the file: in ``$GENBENCH_WEIGHTS``, or ``~/.cache/genbench/weights``. Raises
        ``DataError`` where neither is."""
        given = os.environ.get("GENBENCH_WEIGHTS")
        if given:
            return Path(given) / self.file
        folder = home_folder()
        if folder is None:
            raise DataError(f"no place for {self.file}: name a folder with GENBENCH_WEIGHTS")
        return folder / "weights" / self.file

    def read(self, given: Path | None) -> tuple[dict[str, Any], str]:
        """The state dictionary and the SHA-256 of the file, never unpickling code.

        ``given``: the file; ``None``: the one at ``path()``, downloaded if it is missing. Raises
        ``DataError`` if it is missing, another file, or cannot be read safely.
        """
        path = given or self.path()
        if given is None and not path.exists():
            self._download(path)
        try:
            data = read_regular(path)
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror or error}") from error
        digest = hashlib.sha256(data).hexdigest()
        if not digest.startswith(self.sha256):
            raise DataError(
                f"{path} is not {self.what}: its SHA-256 begins with "
                f"{digest[:8]}, not {self.sha256}"
            )
        try:
            return unpack_state(data), digest
        except Exception as error:  # torch raises anything for a file that it did not write
            raise DataError(
                f"{path}: cannot be read without running code ({brief(error)})"
            ) from error

    def load(self, given: Path | None, build: Callable[[dict[str, Any]], N]) -> tuple[N, str]:
        """The network that ``build`` makes of the state, and the SHA-256 of the file.

        Raises ``DataError`` as ``read`` does, and if the state is not that of the network.
        """
        state, digest = self.read(given)
        try:
            return build(state), digest
        except Exception as error:  # the file may hold anything
            path = given or self.path()
            raise DataError(f"{path}: not the weights of this network ({brief(error)})") from error

    def _download(self, path: Path) -> None:
        fetch: Callable[..., None] = torch.hub.download_url_to_file
        try:
            make_folder(path.parent)
            fetch(self.url, str(path), hash_prefix=self.sha256)
        except (OSError, RuntimeError) as error:
            if isinstance(error, OSError) and refused(error):
                raise CannotWrite.of(path, error) from error
            raise DataError(
                f"cannot download {self.what} ({error}): put {self.url} at {path}"
            ) from error


def brief(error: Exception) -> str:
    """The beginning of an error that torch describes at length."""
    return one_line(error)[:200]
