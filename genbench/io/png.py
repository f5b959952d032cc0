"""The PNG files that generators write, many at a time: 8-bit grey or RGB, not interlaced.

On small pictures a decoder is busy with everything but pixels. So the files are taken apart here,
and Pillow's decoder gets the rows of many as those of one tall picture. Everything else about PNG
is left to Pillow.

Format: W3C, "Portable Network Graphics (PNG) Specification (Third Edition)" (2025).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple, TypeAlias

import numpy as np
from PIL import Image

Pixels: TypeAlias = "np.ndarray[tuple[int, int, int, int], np.dtype[np.uint8]]"

END = b"IEND\xaeB`\x82"
"""The name and the checksum of the last chunk, which is always the same."""

_HEAD = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"
_HEADER = Struct(">II5B")
_CHUNK = Struct(">I4s")
_CHECKSUM = Struct(">I")
_MODES = {0: "L", 2: "RGB"}
_IGNORED = {
    *(b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"tIME", b"pHYs"),
    *(b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"bKGD"),
}
"""Chunks that leave the stored pixels as they are, as Pillow does."""
_PIXELS = 1 << 26
"""Larger pictures are left to Pillow, which checks for decompression bombs."""


class Png(NamedTuple):
    mode: str
    """``"L"`` or ``"RGB"``."""
    size: tuple[int, int]
    """Width and height in pixels."""
    stream: bytes
    """Deflated rows, each of them filtered."""

    @property
    def row_bytes(self) -> int:
        return 1 + self.size[0] * len(self.mode)  # a row's filter; a letter of the mode a channel

    def rows(self) -> bytes:
        """Raises ``ValueError`` if some are missing, ``zlib.error`` if they are damaged."""
        expected = self.size[1] * self.row_bytes
        rows = zlib.decompressobj().decompress(self.stream, expected)
        if len(rows) < expected:
            raise ValueError("it ends before its last row")
        return rows


def plain_png(data: bytes) -> Png | None:
    """``None`` for pictures that are left to Pillow: other kinds, and those that are cut off or
    have a wrong checksum."""
    if not data.startswith(_HEAD) or len(data) < 33:
        return None
    width, height, bits, colour, *methods = _HEADER.unpack_from(data, 16)
    if bits != 8 or colour not in _MODES or any(methods) or not 0 < width * height <= _PIXELS:
        return None
    parts = []
    view, at = memoryview(data), 8
    while at + 12 <= len(data):
        length, kind = _CHUNK.unpack_from(data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            return None
        if zlib.crc32(view[at + 4 : end]) != _CHECKSUM.unpack_from(data, end)[0]:
            return None
        if kind == b"IDAT":
            parts.append(data[at + 8 : end])
        elif kind == b"IEND":
            return Png(_MODES[colour], (width, height), b"".join(parts))
        elif kind not in _IGNORED and at > 8:
            return None
        at = end + 4
    return None


def stacked(pngs: Sequence[Png]) -> Image.Image:
    """Pictures of one mode and size as one: each below the other and a black row, since the filters
    of a first row take the row above for zeros (section 9.2). Raises as ``Png.rows`` does, and
    ``ValueError`` for a filter that does not exist."""
    mode, (width, height), _ = pngs[0]
    rows = bytes(pngs[0].row_bytes).join([png.rows() for png in pngs])
    # Not deflated: Pillow's decoder inflates row by row, which takes twice as long as all at once.
    stream = zlib.compress(rows, 0)
    tall = (width, len(pngs) * (height + 1) - 1)
    return Image.frombytes(mode, tall, stream, "zip", mode)


def decode_together(files: Sequence[bytes], mode: str, size: tuple[int, int]) -> Pixels | None:
    """``(N, H, W, C)`` uint8; ``None`` unless all are sound plain PNGs of that mode and size."""
    pngs = []
    for data in files:
        png = plain_png(data)
        if png is None or (png.mode, png.size) != (mode, size):
            return None
        pngs.append(png)
    try:
        picture = stacked(pngs)
    except (ValueError, zlib.error):
        return None
    width, height = size
    last_row = bytes(width * len(mode))
    tall = np.frombuffer(picture.tobytes() + last_row, np.uint8)
    return tall.reshape(len(pngs), height + 1, width, len(mode))[:, :height]
