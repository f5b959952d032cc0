"""Sounds: ``(channels, samples)`` at a rate in Hz, in levels or, real-valued, in [-1, 1].

16-bit PCM has 65536 levels (``genbench.io.sounds``). A picture of a sound is its waveform above
its log-mel spectrogram, whose colours run from -80 to 0 decibels for all sounds: a quiet one is
dark.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genbench.api import LENGTH, Frames, Modality, SampleSpec, Shown
from genbench.io.sounds import amplitudes, pcm16, wav_bytes
from genbench.modalities.image import in_rows, sheet
from genbench.modalities.spectrograms import FLOOR, log_mel

if TYPE_CHECKING:
    from PIL.Image import Image

PREVIEWED = 8
ACROSS = 2
"""Sounds in a row of a preview."""
STEP = 2.0
"""Decibels of a colour: more of them only make a page larger."""
BACKGROUND = (0, 0, 4)
"""The darkest colour of the spectrogram, too."""
WAVEFORM = (190, 190, 210)


@dataclass(frozen=True)
class Tile:
    """The size of a picture of one sound, in pixels."""

    width: int
    waveform: int
    """Height of the waveform."""
    bands: int
    """Height of the spectrogram."""


PAGE = Tile(128, 24, 40)
SMALL = Tile(39, 12, 28)
"""For strips and pairs on the page: ten of them are as wide as it shows a strip."""
FILE = Tile(256, 48, 64)


def check(spec: SampleSpec) -> str | None:
    if len(spec.shape) != 2:
        return f"sounds have the shape (channels, samples), not {spec.shape}"
    if spec.rate is None or not float(spec.rate).is_integer():
        said = "none" if spec.rate is None else f"{spec.rate:g}"
        return f"sounds have a rate in whole Hz, and this one says {said}"
    if LENGTH in spec.condition and spec.levels is not None:
        return "sounds in levels have no 'length': padding is level 0, and silence the middle level"
    return None


def preview(samples: Shown, first: Shown) -> Image:
    """The first eight, two in a row."""
    tiles = [tile(sound, samples.spec, PAGE) for sound in samples.data[:PREVIEWED]]
    return sheet(in_rows(tiles, ACROSS))


def strip(frames: Frames, on_page: bool) -> Image:
    """A row a sample and a column a frame."""
    size = SMALL if on_page else FILE
    rows = frames.data.swapaxes(0, 1)
    return sheet([[tile(state, frames.spec, size) for state in row] for row in rows])


def animation(frames: Frames) -> list[Image]:
    """The samples of a frame in a square."""
    return [_square(frame) for frame in frames.each()]


def pairs(samples: Shown, nearest: Shown) -> Image:
    """Each sound above its neighbour."""
    both = samples, nearest
    return sheet([[tile(sound, part.spec, SMALL) for sound in part.data] for part in both])


def png(samples: Shown) -> bytes:
    """All sounds in a square, as a PNG file."""
    buffer = io.BytesIO()
    _square(samples).save(buffer, "PNG")
    return buffer.getvalue()


def wav(samples: Shown) -> bytes:
    """All sounds, one after the other without a pause, as a WAV file of 16-bit PCM."""
    assert samples.spec.rate is not None
    pcm = pcm16(samples.data, samples.spec.levels)
    return wav_bytes(np.concatenate([*pcm], axis=1), int(samples.spec.rate))


def tile(sound: NDArray[Any], spec: SampleSpec, size: Tile) -> Image:
    """The waveform and the spectrogram of one sound ``(channels, samples)`` in the stored view, of
    the mean of its channels."""
    from PIL import Image

    assert spec.rate is not None
    x = amplitudes(sound, spec.levels).mean(axis=0)
    decibels = log_mel(x, spec.rate, size.width, size.bands)[::-1]
    colours = _colours()
    shade = np.rint((decibels - FLOOR) / STEP).astype(np.int64).clip(0, len(colours) - 1)
    gap = np.full((1, size.width, 3), BACKGROUND, np.uint8)
    rows = [_waveform(x, size.width, size.waveform), gap, colours[shade]]
    return Image.fromarray(np.concatenate(rows))


def _waveform(x: NDArray[np.float64], width: int, height: int) -> NDArray[np.uint8]:
    """A bar a column, from the least to the greatest amplitude in it, ``(height, width, 3)``."""
    edges = np.linspace(0, len(x), width + 1)
    bars = [x[int(low) : max(int(low) + 1, math.ceil(high))] for low, high in _between(edges)]
    extremes = np.array([(bar.max(), bar.min()) for bar in bars])
    top, bottom = np.rint((1 - extremes.T) / 2 * (height - 1))
    row = np.arange(height)[:, None]
    drawn = np.full((height, width, 3), BACKGROUND, np.uint8)
    drawn[(row >= top) & (row <= bottom)] = WAVEFORM
    return drawn


def _between(edges: NDArray[np.float64]) -> list[tuple[float, float]]:
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))


@cache
def _colours() -> NDArray[np.uint8]:
    """From quiet to loud."""
    import matplotlib as mpl

    shades = np.linspace(0, 1, round(-FLOOR / STEP) + 1)
    colours: NDArray[np.float64] = mpl.colormaps["magma"](shades)[:, :3]
    return np.rint(255 * colours).astype(np.uint8)


def _square(samples: Shown) -> Image:
    tiles = [tile(sound, samples.spec, FILE) for sound in samples.data]
    return sheet(in_rows(tiles, math.ceil(math.sqrt(len(tiles)))))


AUDIO = Modality(
    check,
    preview,
    strip,
    animation,
    pairs,
    {".png": png, ".wav": wav},
    previewed=PREVIEWED,
    followed=4,
    animated=4,
)
