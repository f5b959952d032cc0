"""The bytes of a picture file → its header, its pixels.

PNG, JPEG, BMP and WebP with 8-bit grey or RGB pixels. An EXIF orientation is not applied.
"""

from __future__ import annotations

import io
import re
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from genbench.io.files import cause
from genbench.io.png import END, plain_png, stacked

# Pillow knows other formats, some of which start a program to be read.
FORMATS = ("PNG", "JPEG", "BMP", "WEBP")

_MAGIC = {
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "JPEG": rb"\xff\xd8\xff",
    "BMP": rb"BM.{4}\0{4}.{4}[\x0c-\x7c]\0\0\0",  # reserved zeros, and the size of a header
    "WEBP": rb"RIFF.{4}WEBP",
    "GIF": rb"GIF8[79]a",
    "TIFF": rb"II\*\0|MM\0\*",
    "PNM": rb"P[1-6]\s+(#|\d+\s+\d+\s)",
    "JPEG 2000": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    "JPEG XL": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "AVIF or HEIC": rb".{4}ftyp(avif|avis|heic|heix|mif1)",
}
START = 64
"""The first bytes of a file by which its format is told."""


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


def format_of(start: bytes) -> str | None:
    """The format of a picture, by its first bytes, whatever its file is called: one of those that
    are read, or of those that are often met; ``None`` for anything else."""
    for format, pattern in _MAGIC.items():
        if re.match(pattern, start, re.DOTALL):
            return format
    return None


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
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
