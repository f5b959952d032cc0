"""Files and folders that hold no samples, each with the cause that a user is to read.

Programs in disguise are in ``hostile``; these are accidents: downloads that broke off, exports with
a wrong setting, arrays with their axes mixed up.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

GOOD = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
POINTS = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 3, 8, 9), dtype=np.uint8)

DAMAGED = r"truncated or damaged \(|wrong magic|the file is empty"
DAMAGED_PICTURE = r"\((damaged: |empty file|not a PNG, JPEG, BMP or WebP picture, or cut off)"


@dataclass(frozen=True)
class Case:
    """``make`` writes what is wrong at the path that it is given."""

    name: str
    """The name of the file."""
    cause: str
    """A regular expression that the line must match."""
    make: Callable[[Path], object]


def holding(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def encoded(mode: str, format: str, **options: Any) -> bytes:
    """A picture of 40×40 pixels."""
    buffer = io.BytesIO()
    Image.fromarray(GOOD).convert(mode).save(buffer, format, **options)
    return buffer.getvalue()


def animated(format: str, frames: int = 3) -> bytes:
    buffer = io.BytesIO()
    pictures = [Image.fromarray(np.roll(GOOD, 7 * shift, 0)) for shift in range(frames)]
    pictures[0].save(buffer, format, save_all=True, append_images=pictures[1:])
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int, height: int, bits: int = 8, colour: int = 2, data: bytes = b"", *, end: bool = True
) -> bytes:
    """A PNG with right checksums, whatever is in it; by default with the pixels of 40×40."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    stream = data or zlib.compress(b"".join(b"\0" + row.tobytes() for row in GOOD))
    last = chunk(b"IEND") if end else b""
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", stream) + last


def patched(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


def cuts(data: bytes, count: int, last: int = 1) -> Iterator[int]:
    """Lengths from nothing to ``last`` bytes short, denser towards both ends."""
    steps = (1 - np.cos(np.linspace(0, np.pi, count))) / 2
    yield from sorted({int(step) for step in steps * (len(data) - last)})


def pictures() -> Iterator[Case]:
    """Each lies beside a good picture."""
    yield from cut_pictures()
    yield from other_pictures()
    yield from lying_pictures()


def cut_pictures() -> Iterator[Case]:
    for name, data, count, last in (
        ("png", encoded("RGB", "PNG"), 40, 1),
        ("png", encoded("L", "PNG"), 15, 1),
        ("jpg", encoded("RGB", "JPEG"), 25, 20),
        ("jpeg", encoded("RGB", "JPEG", progressive=True), 15, 20),
        ("webp", encoded("RGB", "WEBP"), 15, 20),
        ("bmp", encoded("RGB", "BMP"), 15, 1),
    ):
        for kept in cuts(data, count, last):
            yield Case(
                f"cut-at-{kept}-of-{len(data)}.{name}", DAMAGED_PICTURE, holding(data[:kept])
            )


def other_pictures() -> Iterator[Case]:
    for mode in ("P", "1", "LA", "RGBA"):
        yield Case(f"mode-{mode}.png", f"\\(pixels of mode {mode}", holding(encoded(mode, "PNG")))
    deep = io.BytesIO()
    Image.new("I;16", (40, 40)).save(deep, "PNG")
    yield Case("grey-16.png", "pixels of mode I;16", holding(deep.getvalue()))
    palette = encoded("P", "PNG", transparency=0)
    yield Case("palette-alpha.png", "mode P with transparency", holding(palette))
    grey = encoded("L", "PNG", transparency=3)
    yield Case("see-through.png", "mode L with transparency", holding(grey))
    colour = encoded("RGB", "PNG", transparency=(1, 2, 3))
    yield Case("see-through-colour.png", "mode RGB with transparency", holding(colour))
    yield Case("cmyk.jpg", "mode CMYK", holding(encoded("CMYK", "JPEG")))
    yield Case("palette.bmp", "mode P", holding(encoded("P", "BMP")))
    yield Case("bits.bmp", "mode 1", holding(encoded("1", "BMP")))
    glass = io.BytesIO()
    Image.new("RGBA", (40, 40), (1, 2, 3, 99)).save(glass, "WEBP")
    yield Case("alpha.webp", "mode RGBA", holding(glass.getvalue()))
    for name in ("png", "webp"):
        for frames in (2, 3):
            data = animated(name.upper(), frames)
            yield Case(f"moving-{frames}.{name}", f"animated: {frames} pictures", holding(data))
    for format in ("GIF", "TIFF", "PPM", "ICO", "TGA", "PCX", "EPS", "PDF"):
        for name in ("png", "jpg"):
            data = encoded("RGB", format)
            cause = "not a PNG, JPEG, BMP or WebP picture"
            yield Case(f"in-truth-{format.lower()}.{name}", cause, holding(data))
    for name in ("gif", "tif", "tiff", "ppm", "pgm", "apng", "avif", "heic", "jxl", "jp2", "GIF"):
        yield Case(f"format.{name}", "formats that are not read", holding(encoded("L", "GIF")))
    for content in (b"hello", b"<html><body>404 Not Found</body></html>", b"\0" * 999, b"\x89PNG"):
        for name in ("png", "jpg", "bmp", "webp"):
            cause = "not a PNG, JPEG, BMP or WebP picture"
            yield Case(f"text-{len(content)}.{name}", cause, holding(content))
    yield Case("large.png", "mixed sizes", holding(png(1, 1, data=zlib.compress(b"\0abc"))))


def lying_pictures() -> Iterator[Case]:
    whole, jpeg, bmp = encoded("RGB", "PNG"), encoded("RGB", "JPEG"), encoded("RGB", "BMP")
    for width, height in ((40, 41), (41, 40), (4000, 4000)):
        yield Case(f"promises-{width}x{height}.png", "mixed sizes", holding(png(width, height)))
    for width, height in ((0, 40), (40, 0), (0, 0)):
        cause = r"\(0×40 pixels|\(40×0 pixels|\(0×0 pixels|not a PNG"
        yield Case(f"zero-{width}x{height}.png", cause, holding(png(width, height)))
    yield Case("bomb.png", "damaged: .*exceeds limit", holding(png(60_000, 60_000)))
    yield Case("beyond.png", "damaged|not a PNG", holding(png(1 << 31, 1 << 31)))
    yield Case("rgb16.png", "16 bits a channel", holding(png(40, 40, bits=16)))
    yield Case("bits-3.png", DAMAGED_PICTURE, holding(png(40, 40, bits=3)))
    yield Case("colour-9.png", DAMAGED_PICTURE, holding(png(40, 40, colour=9)))
    short = zlib.compress(b"".join(b"\0" + row.tobytes() for row in GOOD[:39]))
    yield Case("row-missing.png", "ends before its last row", holding(png(40, 40, data=short)))
    yield Case(
        "no-pixels.png", "ends before its last row", holding(png(40, 40, data=zlib.compress(b"")))
    )
    yield Case("not-deflated.png", "cannot be decoded", holding(png(40, 40, data=b"plain pixels")))
    yield Case("no-end.png", "damaged: ", holding(png(40, 40, end=False)))
    for at in (18, 29, 45, 400, len(whole) - 20, len(whole) - 2):
        flipped = patched(whole, at, bytes([whole[at] ^ 64]))
        yield Case(f"flipped-at-{at}.png", DAMAGED_PICTURE, holding(flipped))
    frame = jpeg.index(b"\xff\xc0")  # its precision, height and width follow
    yield Case(
        "height-0.jpg", "pixels|damaged|not a PNG", holding(patched(jpeg, frame + 5, b"\0\0"))
    )
    # libjpeg makes up what is not there.
    yield Case("taller.jpg", "mixed sizes", holding(patched(jpeg, frame + 5, b"\x08\0")))
    yield Case("12-bit.jpg", DAMAGED_PICTURE, holding(patched(jpeg, frame + 4, b"\x0c")))
    tables = jpeg.index(b"\xff\xdb")
    yield Case("no-tables.jpg", DAMAGED_PICTURE, holding(jpeg[:tables] + jpeg[frame:]))
    yield Case("taller.bmp", DAMAGED_PICTURE, holding(patched(bmp, 22, struct.pack("<i", 4000))))
    yield Case("far-pixels.bmp", DAMAGED_PICTURE, holding(patched(bmp, 10, b"\xff\xff\xff\x7f")))
    yield Case("bits-7.bmp", DAMAGED_PICTURE, holding(patched(bmp, 28, b"\x07")))
    yield Case("packed.bmp", DAMAGED_PICTURE, holding(patched(bmp, 30, b"\x63")))
    yield Case("zero.bmp", r"×0 pixels|damaged|not", holding(patched(bmp, 22, b"\0\0\0\0")))
    webp = encoded("RGB", "WEBP")
    yield Case("longer.webp", DAMAGED_PICTURE, holding(patched(webp, 4, b"\xff\xff\xff\x7f")))
    yield Case("noise.webp", DAMAGED_PICTURE, holding(patched(webp, 20, b"\xff" * 60)))


def places() -> Iterator[Case]:
    """What a picture's place may hold instead of a file."""

    def loop_of_two(path: Path) -> None:
        path.symlink_to(path.with_name("other.png"))
        path.with_name("other.png").symlink_to(path)

    yield Case("loop.png", "Too many levels of symbolic links", lambda p: p.symlink_to(p))
    yield Case("loop-of-two.png", "Too many levels of symbolic links", loop_of_two)
    yield Case("dangling.png", "No such file", lambda p: p.symlink_to("nowhere.png"))
    yield Case("pipe.png", "not a regular file", os.mkfifo)
    yield Case("device.png", "not a regular file", lambda p: p.symlink_to("/dev/zero"))
    for name, told in (
        ("line\nbreak.png", r"line\\nbreak.png"),
        ("tab\tand bell\a.png", r"tab\\tand bell\\x07.png"),
        ("colour \x1b[31m.png", r"colour \\x1b\[31m.png"),
        ("bytes \udcff\udcfe.png", r"bytes \\udcff\\udcfe.png"),
        ("right to \u202eleft.png", r"right to \\u202eleft.png"),
        ("Ärger 🖼.png", "Ärger 🖼.png"),
        ("%s {0} [red].png", r"%s \{0\} \[red\].png"),
        ("x" * 251 + ".png", "x{251}.png"),
    ):
        yield Case(name, rf"{told} \(empty file\)", holding(b""))


def folders() -> Iterator[Case]:
    """Folders without a picture."""

    def deep(path: Path) -> None:
        (path / "a" / "b" / "c").mkdir(parents=True)

    def texts(path: Path) -> None:
        path.mkdir()
        (path / "labels.csv").write_text("1,2")

    def linked_to_itself(path: Path) -> None:
        path.mkdir()
        (path / "again").symlink_to(path)

    yield Case("empty", "zero images", Path.mkdir)
    yield Case("empty.npy", "zero images", Path.mkdir)
    yield Case("empty.npz", "zero images", Path.mkdir)
    yield Case("empty.pt", "zero images", Path.mkdir)
    yield Case("folders", "zero images", deep)
    yield Case("texts", "zero images", texts)
    yield Case("linked-to-itself", "zero images", linked_to_itself)
    yield Case("loop", "Too many levels of symbolic links", lambda p: p.symlink_to(p))
    yield Case("nowhere", "no such file or folder", lambda p: None)
    yield Case("pipe", "neither a file nor a folder", os.mkfifo)
    yield Case("n" * 300, "File name too long", lambda p: None)
    for suffix in ("npy", "npz", "pt", "safetensors"):
        yield Case(f"pipe.{suffix}", "not a regular file", os.mkfifo)
        yield Case(f"loop.{suffix}", "Too many levels", lambda p: p.symlink_to(p))
        yield Case(f"nowhere.{suffix}", "No such file", lambda p: None)
        yield Case(f"device.{suffix}", "not a regular file", lambda p: p.symlink_to("/dev/zero"))
