"""Picture files that are read when they are asked for; only their names are held in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genbench.api import Batch, Samples, SampleSpec
from genbench.api.errors import DataError
from genbench.io.decode import BadPicture, decode
from genbench.io.files import cause, contents, shown
from genbench.io.png import Pixels, decode_together
from genbench.io.scan import HashedFiles
from genbench.io.threads import MOST, ahead, in_threads

_TOGETHER = 1 << 22
"""Bytes of pixels that are decoded at a time: with more, nothing is gained."""


@dataclass(frozen=True)
class PictureFiles:
    """Samples that are read from picture files when they are taken."""

    spec: SampleSpec
    id: str
    root: Path
    names: Sequence[str]
    """Of the files, below ``root``."""
    hashed: HashedFiles
    """What ``id`` names: a file that holds anything else now is refused."""
    prepare: Callable[[Image.Image], Image.Image] | None = None
    """Crops or resizes a picture. ``None``: the samples are the pictures themselves."""
    notes: tuple[str, ...] = ()
    """What is to be said of how the folder was read."""

    def __len__(self) -> int:
        return len(self.names)

    def take(self, indices: Tensor) -> Batch:
        """uint8 ``(B, C, H, W)``. Raises ``DataError`` for a picture that cannot be decoded, or is
        another one than when the set was opened."""
        channels, height, width = self.spec.shape
        most = min(MOST, _TOGETHER // (channels * height * width))
        pixels = np.concatenate(list(in_threads(self._pixels, indices.tolist(), most)))
        return Batch(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous())

    def _pixels(self, indices: Sequence[int]) -> Pixels:
        """``(N, H, W, C)``."""
        channels, height, width = self.spec.shape
        mode = "L" if channels == 1 else "RGB"
        files = [self._contents(index) for index in indices]
        if self.prepare is None:
            together = decode_together(files, mode, (width, height))
            if together is not None:
                return together
        names = [self.names[index] for index in indices]
        pixels = [self._decode(*named, mode) for named in zip(names, files, strict=True)]
        return np.stack(pixels).reshape(-1, height, width, channels)

    def _contents(self, index: int) -> bytes:
        path = f"{self.root}/{self.names[index]}"
        try:
            data, now = contents(path)
        except OSError as error:
            raise DataError(f"{shown(path)}: {cause(error)}") from error
        if not self.hashed.hold(index, data, now):
            raise DataError(
                f"{shown(path)}: it has changed since {self.id} was opened; start again when the "
                "pictures stay as they are"
            )
        return data

    def _decode(
        self, name: str, data: bytes, mode: str
    ) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
        """Row by row, the channels of a pixel side by side."""
        where = shown(f"{self.root}/{name}")
        try:
            picture = decode(data, mode)
            if self.prepare is not None:
                picture = self.prepare(picture)
            pixels = np.frombuffer(picture.tobytes(), np.uint8)
        except BadPicture as error:
            raise DataError(f"{where}: {error}") from error
        except Exception as error:  # decoders raise anything on damaged data
            raise DataError(f"{where}: cannot be decoded ({cause(error)})") from error
        return pixels


def read_ahead(samples: Samples, batches: Iterable[Tensor]) -> Iterator[Batch]:
    """``samples.take`` of each of ``batches``, in order. Pictures of the next batch are read while
    the last one is in use; other samples are taken when they are asked for."""
    if isinstance(samples, PictureFiles):
        return ahead(samples.take, batches)
    return map(samples.take, batches)
