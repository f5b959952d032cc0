"""Plain PNGs are taken apart as the specification has it; all others are Pillow's."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from genbench.io.decode import BadPicture, Header, check, decode
from genbench.io.png import decode_together, plain_png

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int, bits: int = 8, colour: int = 2, interlaced: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced))


def paeth(a: int, b: int, c: int) -> int:
    """The neighbour (left, above, above left) that is nearest to a + b - c; ties in this order."""
    return min((a, b, c), key=lambda x: abs(a + b - c - x))


def filtered(pixels: np.ndarray, kind: int) -> bytes:
    """Every row with one filter, by the formulas of the specification, section 9.2."""
    height, width, channels = pixels.shape
    rows = np.zeros((height + 1, (width + 1) * channels), int)  # a row and a pixel of zeros before
    rows[1:, channels:] = pixels.reshape(height, -1)
    stream = b""
    for y in range(1, height + 1):
        stream += bytes([kind])
        for x in range(channels, rows.shape[1]):
            a, b, c = rows[y, x - channels], rows[y - 1, x], rows[y - 1, x - channels]
            predicted = [0, a, b, (a + b) // 2, paeth(a, b, c)][kind]
            stream += bytes([(rows[y, x] - predicted) % 256])
    return stream


def png(pixels: np.ndarray, kind: int = 0, between: bytes = b"", parts: int = 1) -> bytes:
    height, width, channels = pixels.shape
    stream = zlib.compress(filtered(pixels, kind))
    size = -(-len(stream) // parts)
    data = [stream[at : at + size] for at in range(0, len(stream), size)]
    chunks = b"".join(chunk(b"IDAT", part) for part in data)
    colour = 2 if channels == 3 else 0
    return SIGNATURE + header(width, height, 8, colour) + between + chunks + chunk(b"IEND")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", range(5))
def test_every_filter(kind, channels):
    pixels = noise(kind, 9, 7, channels)
    data = png(pixels, kind)
    assert plain_png(data) is not None
    assert check(data) == Header("L" if channels == 1 else "RGB", (7, 9))
    picture = decode(data, "RGB" if channels == 3 else "L")
    assert np.array_equal(np.asarray(picture).reshape(pixels.shape), pixels)
    with Image.open(io.BytesIO(data)) as known:
        assert known.tobytes() == picture.tobytes()


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (33, 17), (257, 130)])
@pytest.mark.parametrize("flat", [False, True])
def test_what_pillow_writes(size, flat):
    pixels = np.zeros((*size, 3), np.uint8) if flat else noise(1, *size, 3)
    for options in ({}, {"optimize": True}, {"compress_level": 0}, {"compress_level": 9}):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG", **options)
        assert plain_png(file.getvalue()) is not None
        assert np.array_equal(np.asarray(decode(file.getvalue(), "RGB")), pixels)


def test_chunks_in_pieces_and_chunks_that_say_nothing_of_pixels():
    pixels = noise(0, 8, 8, 3)
    said = chunk(b"pHYs", bytes(9)) + chunk(b"tEXt", b"Software\0x") + chunk(b"gAMA", bytes(4))
    data = png(pixels, 4, between=said, parts=7) + b"after the end"
    assert plain_png(data) is not None
    assert np.array_equal(np.asarray(decode(data, "RGB")), pixels)


def test_text_and_profiles_as_pillow_writes_them():
    about = PngImagePlugin.PngInfo()
    about.add_text("prompt", "a cat", zip=True)
    about.add_itxt("prompt", "eine Katze")
    file = io.BytesIO()
    pixels = noise(0, 8, 8, 3)
    Image.fromarray(pixels).save(file, "PNG", pnginfo=about, icc_profile=b"x" * 50, dpi=(72, 72))
    assert plain_png(file.getvalue()) is not None
    assert np.array_equal(np.asarray(decode(file.getvalue(), "RGB")), pixels)


def test_grey_and_colour_are_converted_as_pillow_converts():
    grey, colour = noise(0, 5, 6, 1), noise(1, 5, 6, 3)
    assert np.array_equal(np.asarray(decode(png(grey), "RGB")), grey.repeat(3, axis=2))
    known = Image.fromarray(colour).convert("L")
    assert decode(png(colour), "L").tobytes() == known.tobytes()


@pytest.mark.parametrize(
    "data",
    [
        SIGNATURE + header(4, 4, colour=3) + chunk(b"IDAT") + chunk(b"IEND"),
        SIGNATURE + header(4, 4, colour=6) + chunk(b"IDAT") + chunk(b"IEND"),
        SIGNATURE + header(4, 4, bits=16) + chunk(b"IDAT") + chunk(b"IEND"),
        SIGNATURE + header(4, 4, interlaced=1) + chunk(b"IDAT") + chunk(b"IEND"),
        SIGNATURE + header(0, 4) + chunk(b"IDAT") + chunk(b"IEND"),
        SIGNATURE + header(1 << 16, 1 << 16) + chunk(b"IDAT") + chunk(b"IEND"),
        png(noise(0, 4, 4, 3), between=chunk(b"tRNS", bytes(6))),
        png(noise(0, 4, 4, 3), between=chunk(b"acTL", bytes(8))),
        png(noise(0, 4, 4, 3), between=chunk(b"PLTE", bytes(3))),
        png(noise(0, 4, 4, 3), between=header(5, 5)),
        png(noise(0, 4, 4, 3), between=chunk(b"tEXt", b"x")[:-1] + b"?"),
        b"GIF89a" + bytes(60),
    ],
)
def test_the_rest_is_left_to_pillow(data):
    assert plain_png(data) is None


def test_cut_off_anywhere():
    data = png(noise(0, 6, 6, 3), 4, parts=3)
    assert all(plain_png(data[:kept]) is None for kept in range(len(data)))
    for kept in range(len(data)):
        with pytest.raises(BadPicture):
            check(data[:kept])


def test_any_flipped_byte_of_the_pixels_is_found():
    data = png(noise(0, 6, 6, 3))
    for at in range(data.index(b"IDAT"), len(data) - 12):
        flipped = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(BadPicture):
            check(flipped)


@pytest.mark.parametrize(
    ("stream", "cause"),
    [
        (zlib.compress(filtered(noise(0, 5, 6, 3), 0)), "ends before its last row"),
        (b"", "ends before its last row"),
        (b"not deflated at all", "Error -3 while decompressing"),
        (zlib.compress(filtered(noise(0, 6, 6, 3), 0).replace(b"\0", b"\7")), "cannot decode"),
    ],
)
def test_right_checksums_around_wrong_pixels(stream, cause):
    data = SIGNATURE + header(6, 6) + chunk(b"IDAT", stream) + chunk(b"IEND")
    with pytest.raises((ValueError, zlib.error), match=cause):
        decode(data, "RGB")
    assert decode_together([data, png(noise(0, 6, 6, 3))], "RGB", (6, 6)) is None


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 2, 30])
def test_together_as_alone(count, channels):
    """Every filter after every other, as the last of one picture and the first of the next."""
    pixels = [noise(index, 4, 5, channels) for index in range(count)]
    files = [png(one, (index * index + index // 5) % 5) for index, one in enumerate(pixels)]
    together = decode_together(files, "RGB" if channels == 3 else "L", (5, 4))
    assert together is not None
    assert np.array_equal(together, np.stack(pixels))


def test_not_together():
    small, large, grey = png(noise(0, 4, 4, 3)), png(noise(0, 4, 5, 3)), png(noise(0, 4, 4, 1))
    assert decode_together([small, small], "RGB", (4, 4)) is not None
    for other in (large, grey, b"GIF89a", small[:-1]):
        assert decode_together([small, other], "RGB", (4, 4)) is None
    assert decode_together([small, small], "L", (4, 4)) is None


def test_an_interlaced_picture_is_read_by_pillow():
    """Adam7: of a 1×1 picture the first pass alone holds anything."""
    stream = zlib.compress(b"\0\x01\x02\x03")
    data = SIGNATURE + header(1, 1, interlaced=1) + chunk(b"IDAT", stream) + chunk(b"IEND")
    assert check(data) == Header("RGB", (1, 1))
    assert decode(data, "RGB").tobytes() == b"\x01\x02\x03"
