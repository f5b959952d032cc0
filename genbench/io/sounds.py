"""Sounds as 16-bit PCM: levels, amplitudes and WAV files.

PCM value v in -32768 … 32767 is stored as level v + 32768, so that silence is ``SILENCE``. In the
model's view it is (2v + 1) / 65535: silence is half a level above 0.
"""

from __future__ import annotations

import io
import wave
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVELS = 1 << 16
SILENCE = 1 << 15
"""The level of PCM value 0."""


def amplitudes(stored: NDArray[Any], levels: int | None) -> NDArray[np.float64]:
    """Sounds of any shape in the stored view → the model's view, within [-1, 1] and finite: reals
    beyond are clipped, NaN is 0."""
    x = np.asarray(stored, np.float64)
    if levels is not None:
        return x * (2 / (levels - 1)) - 1
    return np.nan_to_num(x, posinf=1.0, neginf=-1.0).clip(-1, 1)


def pcm16(stored: NDArray[Any], levels: int | None) -> NDArray[np.int16]:
    """Sounds of any shape in the stored view → the nearest PCM values; of 65536 levels, exactly
    those that they are."""
    level = np.rint((amplitudes(stored, levels) + 1) * ((LEVELS - 1) / 2))
    return (level - SILENCE).astype(np.int16)


def wav_bytes(pcm: NDArray[np.int16], rate: int) -> bytes:
    """A WAV file of PCM values ``(channels, samples)`` at ``rate`` Hz."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(len(pcm))
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm.T.astype("<i2").tobytes())
    return buffer.getvalue()
