"""Picture files read as they are asked for; nothing but their paths is held.

PNG, JPEG, BMP and WebP with 8-bit grey or RGB pixels. An EXIF orientation is not applied.
"""

from __future__ import annotations

import hashlib
import io
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from genbench.errors import DataError
from genbench.types import Batch, SampleSpec

# Pillow knows other formats, some of which start a program to be read.
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
_SHOWN = 5
"""Bad files named in one message."""


class _BadPicture(Exception):
    """Why a file cannot be used."""


@dataclass(frozen=True)
class Header:
    mode: str
    """``"L"`` or ``"RGB"``."""
    size: tuple[int, int]
    """Width and height in pixels."""


@dataclass(frozen=True)
class Examined:
    """What one pass over picture files tells."""

    headers: Sequence[Header]
    hash: str
    """16 hexadecimal digits that name the bytes of all files, in their order."""


@dataclass(frozen=True)
class PictureFiles:
    """Samples that are read from picture files when they are taken."""

    spec: SampleSpec
    id: str
    paths: Sequence[Path]
    prepare: Callable[[Image.Image], Image.Image] | None = None
    """Crops or resizes a picture, where the samples are not the pictures as they are."""

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, indices: Tensor) -> Batch:
        """uint8 ``(B, C, H, W)``. Raises ``DataError`` for a picture that cannot be decoded."""
        return Batch(torch.stack([self._read(self.paths[int(index)]) for index in indices]))

    def _read(self, path: Path) -> Tensor:
        try:
            picture = _open(_contents(path)).convert("L" if self.spec.shape[0] == 1 else "RGB")
        except _BadPicture as error:
            raise DataError(f"{path}: {error}") from error
        except Exception as error:  # decoders raise anything on damaged data
            raise DataError(f"{path}: cannot be decoded ({error})") from error
        if self.prepare is not None:
            picture = self.prepare(picture)
        pixels = torch.from_numpy(np.array(picture))
        pixels = pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()
        if tuple(pixels.shape) != self.spec.shape:
            raise DataError(f"{path}: changed its size while in use")
        return pixels


def examine(paths: Sequence[Path], folder: Path) -> Examined:
    """Read every file once: its header and, over all of them, the hash of their bytes.

    Raises ``DataError`` that names, relative to ``folder``, up to five files that are missing,
    empty, not of these formats, damaged as far as the header or a checksum shows, or not 8-bit
    grey or RGB.
    """
    headers, bad = [], []
    digest = hashlib.sha256()
    for path in paths:
        try:
            data = _contents(path)
            headers.append(_header(data))
        except _BadPicture as error:
            bad.append(f"{path.relative_to(folder)} ({error})")
            continue
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    if bad:
        more = f", and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        raise DataError(f"{folder}: unusable pictures: {', '.join(bad[:_SHOWN])}{more}")
    return Examined(headers, digest.hexdigest()[:16])


def _contents(path: Path) -> bytes:
    try:
        # Asked first, since opening a named pipe would wait for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise _BadPicture("not a regular file")
        data = path.read_bytes()
    except OSError as error:
        raise _BadPicture(error.strerror or str(error)) from error
    if not data:
        raise _BadPicture("empty file")
    return data


def _open(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=_FORMATS)


def _header(data: bytes) -> Header:
    try:
        with _open(data) as picture:
            header = Header(picture.mode, picture.size)
            transparent = "transparency" in picture.info
            picture.verify()  # a PNG's checksums, without decoding it
    except UnidentifiedImageError:
        raise _BadPicture("not a PNG, JPEG, BMP or WebP picture, or cut off") from None
    except Exception as error:  # decoders raise anything on damaged data
        raise _BadPicture(f"damaged: {error}") from error
    if header.mode not in ("L", "RGB") or transparent:
        mode = f"{header.mode} with transparency" if transparent else header.mode
        raise _BadPicture(f"pixels of mode {mode}, not 8-bit grey (L) or RGB")
    if data.startswith(b"\x89PNG") and data[24] != 8:
        # Pillow would cut 16 bits of colour down to 8 without a word.
        raise _BadPicture(f"{data[24]} bits a channel, not 8")
    return header
