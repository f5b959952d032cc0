"""Log-mel spectrograms, as pictures of sounds and the extractor ``log-mel`` have them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

FLOOR = -80.0
"""Decibels below which all is equally dark."""
WINDOW = 0.032
"""Seconds of a frame, of which the nearest power of two of samples is taken."""


def log_mel(x: NDArray[np.float64], rate: float, columns: int, bands: int) -> NDArray[np.float64]:
    """The power of a sound ``(T,)`` by time and frequency, ``(bands, columns)``, the lowest band
    first, in decibels from ``FLOOR`` up; a sine of amplitude 1 is at about 0.

    Hann windows of ``WINDOW``, with silence beyond the ends, overlap by half or more. A column is
    the mean of those whose centres lie in it, so that nothing of a long sound is left out.
    """
    size = 2 ** max(3, round(math.log2(WINDOW * rate)))
    per_column = math.ceil(len(x) / columns / (size / 2))
    centres = (np.arange(columns * per_column) + 0.5) * len(x) / (columns * per_column)
    padded = np.pad(x, size)
    starts = centres.astype(np.int64) + size - size // 2
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    frames = padded[starts[:, None] + np.arange(size)] * window
    power = np.abs(np.fft.rfft(frames) / (window.sum() / 2)) ** 2
    in_columns = power.reshape(columns, per_column, -1).mean(axis=1)
    mel = in_columns @ mel_filters(rate, size, bands).T
    decibels: NDArray[np.float64] = 10 * np.log10(np.maximum(mel.T, 10 ** (FLOOR / 10)))
    return decibels


def mel_filters(rate: float, size: int, bands: int) -> NDArray[np.float64]:
    """Triangles of height 1 over the frequencies of a Fourier transform of ``size`` samples,
    ``(bands, size // 2 + 1)``, equally wide in mel from 0 Hz to half the rate.

    mel = 2595 log10(1 + f / 700) (O'Shaughnessy, "Speech Communication", 1987), as in HTK.
    """
    top = 2595 * math.log10(1 + rate / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)
    low, middle, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    frequency = np.fft.rfftfreq(size, 1 / rate)
    rising, falling = (frequency - low) / (middle - low), (high - frequency) / (high - middle)
    return np.minimum(rising, falling).clip(0)
