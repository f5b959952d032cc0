"""The bytes of a picture file → its header, its pixels.

PNG, JPEG, BMP and WebP with 8-bit grey or RGB pixels. An EXIF orientation is not applied.
"""

from __future__ import annotations

import io
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from genbench.io.files import cause
from genbench.io.png import END, plain_png, stacked

# Pillow knows other formats, some of which start a program to be read.
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")


class BadPicture(Exception):
    """Why a file cannot be used."""


class Header(NamedTuple):
    mode: str
    """``"L"`` or ``"RGB"``."""
    size: tuple[int, int]
    """Width and height in pixels."""


def check(data: bytes) -> Header:
    """The header of a picture that is whole: its checksums agree or, if the format has none, it
    has been decoded. Raises ``BadPicture`` otherwise, and for other formats and pixels."""
    if not data:
        raise BadPicture("empty file")
    png = plain_png(data)
    if png is not None:
        return Header(png.mode, png.size)
    try:
        return _check(data)
    except BadPicture:
        raise
    except Exception as error:  # decoders raise anything on damaged data
        raise BadPicture(f"damaged: {cause(error)}") from error


def decode(data: bytes, mode: str) -> Image.Image:
    """The pixels, converted to ``"L"`` or ``"RGB"``. Raises anything on damaged data."""
    png = plain_png(data)
    picture = _open(data) if png is None else stacked([png])
    return picture if picture.mode == mode else picture.convert(mode)


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError:
        raise BadPicture("not a PNG, JPEG, BMP or WebP picture, or cut off") from None


def _check(data: bytes) -> Header:
    with _open(data) as picture:
        header = Header(picture.mode, picture.size)
        frames = getattr(picture, "n_frames", 1)
        if frames > 1 and picture.format in ("PNG", "WEBP"):  # a JPEG's others are previews
            raise BadPicture(f"animated: {frames} pictures in one file")
        if 0 in header.size:
            raise BadPicture(f"{header.size[0]}×{header.size[1]} pixels")
        if header.mode not in ("L", "RGB") or "transparency" in picture.info:
            transparent = " with transparency" if "transparency" in picture.info else ""
            raise BadPicture(
                f"pixels of mode {header.mode}{transparent}, not 8-bit grey (L) or RGB"
            )
        if picture.format == "PNG":
            if data[24] != 8:
                # Pillow would silently reduce 16 bits of colour to 8.
                raise BadPicture(f"{data[24]} bits a channel, not 8")
            picture.verify()
            if END not in data:  # which Pillow does not check
                raise BadPicture("damaged: it ends before its last chunk")
        else:
            picture.load()
    return header
