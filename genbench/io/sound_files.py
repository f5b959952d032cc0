"""The bytes of a sound file → 16-bit PCM levels. WAV, FLAC and OGG, through soundfile.

A file's amplitude x, of which integers have been divided by 2^(bits - 1), becomes the PCM value
round(32768 x), ties to even, and at most 32767. So 16-bit files are read as they stand, and so is
the same sound as 24-bit or float, if its amplitudes were got by that division. Amplitudes of float
files must lie in [-1, 1]; those that a lossy decoder (Vorbis, Opus) puts beyond are clipped.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.api.errors import UsageError
from genbench.io.files import cause
from genbench.io.sounds import SILENCE

FORMATS = ("WAV", "WAVEX", "FLAC", "OGG")
"""As libsndfile calls them: ``WAVEX`` is a WAV file with an extensible header."""
LOSSY = ("VORBIS", "OPUS")


class BadSound(Exception):
    """Why a file cannot be used."""


@dataclass(frozen=True)
class Sound:
    levels: NDArray[np.int32]
    """``(channels, samples)``, 0 … 65535."""
    rate: int
    """Hz."""

    @property
    def kind(self) -> str:
        """Channels and rate, in words."""
        channels = {1: "mono", 2: "stereo"}.get(len(self.levels), f"{len(self.levels)} channels")
        return f"{channels} at {self.rate} Hz"


def decode_sound(data: bytes) -> Sound:
    """The sound in a whole file.

    Raises ``BadSound`` if it is empty, truncated, damaged, of another format, or holds NaN,
    infinity or amplitudes beyond [-1, 1]; ``UsageError`` without the package soundfile.
    """
    soundfile = require_soundfile()
    if not data:
        raise BadSound("empty file")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            if file.format not in FORMATS:
                raise BadSound(f"of the format {file.format}, not WAV, FLAC or OGG")
            _require_whole(data)
            promised, rate, lossy = file.frames, file.samplerate, file.subtype in LOSSY
            x = file.read(dtype="float64", always_2d=True)
    except BadSound:
        raise
    except soundfile.LibsndfileError as error:
        raise BadSound(f"not a WAV, FLAC or OGG file, or damaged ({error.error_string})") from error
    except Exception as error:  # decoders raise anything on damaged data
        raise BadSound(f"damaged: {cause(error)}") from error
    if len(x) < promised:
        raise BadSound(f"truncated: {len(x):,} of {promised:,} samples are there")
    if len(x) == 0:
        raise BadSound("it holds zero samples")
    return Sound(_levels(x, lossy).T, rate)


def require_soundfile() -> Any:
    """The package. Raises ``UsageError`` without it, or without the library that it loads."""
    try:
        import soundfile
    except (ImportError, OSError) as error:
        raise UsageError(
            f"sound files need the package soundfile ({cause(error)}): "
            "pip install 'genbench[audio]'"
        ) from None
    return soundfile


def _levels(x: NDArray[np.float64], lossy: bool) -> NDArray[np.int32]:
    if not np.isfinite(x).all():
        raise BadSound("it holds NaN or infinity")
    beyond = np.abs(x).max()
    if beyond > 1 and not lossy:
        raise BadSound(f"amplitudes up to {beyond:.4g}, which must lie in [-1, 1]; scale the sound")
    pcm = np.rint(x * SILENCE).clip(-SILENCE, SILENCE - 1)
    return (pcm + SILENCE).astype(np.int32)


def _require_whole(data: bytes) -> None:
    """Raises ``BadSound`` for a file that was cut off, where libsndfile would read what is left."""
    if data[:4] == b"RIFF":
        whole = _riff_is_whole(data)
    elif data[:4] == b"OggS":
        whole = _ogg_is_whole(data)
    else:  # FLAC promises how many samples it has
        return
    if not whole:
        raise BadSound("truncated: the file ends before its sound does")


def _riff_is_whole(data: bytes) -> bool:
    """Whether all of the chunk ``data`` is there."""
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"data":
            return at + 8 + size <= len(data)
        at += 8 + size + size % 2
    return False


def _ogg_is_whole(data: bytes) -> bool:
    """Whether the last page (RFC 3533, section 6) is complete and says that it is the last."""
    page = data[data.rfind(b"OggS") :]
    if len(page) < 27 or len(page) < 27 + page[26]:
        return False
    length = 27 + page[26] + sum(page[27 : 27 + page[26]])
    return bool(page[5] & 4) and len(page) >= length
