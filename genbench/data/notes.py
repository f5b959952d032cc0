"""Notes of three timbres and twelve pitches, drawn from a known law; nothing is downloaded.

All draws are independent, and uniform:

======================  =========================================================================
timbre                  one of three, each a sum of harmonics h with weights w, at equal power:
                        ``flute`` (h = 1, 2, 3; w = 1, 1/4, 1/16), ``clarinet`` (h = 1, 3, 5, 7;
                        w = 1/h), ``violin`` (h = 1 … 8; w = 1/h)
pitch                   one of twelve semitones, from A3 (220 Hz) to G♯4 (415.3 Hz)
detuning                -20 … 20 whole cents; a semitone has 100
phase                   of the first harmonic: anywhere in its period
gain                    1/4 to 1; at 1 the root mean square of the held note is 0.45
attack                  5 to 40 ms, linear from silence
half-life of the decay  100 to 400 ms, exponential from the beginning
======================  =========================================================================

The last 64 ms fade to silence in a line. A note is a smooth function of six numbers, in one of
three timbres.

The samples have the same bits on every processor. Sines, powers and cents are looked up in tables
of whole numbers, none of which is near to a tie of its rounding; all that follows is arithmetic of
64-bit integers.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from genbench.api import Categorical, Samples, SampleSpec
from genbench.api.seeding import generator
from genbench.data import choose_split
from genbench.io.sounds import LEVELS, SILENCE
from genbench.store import in_memory

SEED = 0
COUNTS = {"train": 3_000, "test": 1_000}
"""Notes of each split."""
RATE = 8_000
"""Hz."""
SAMPLES = 8_192
"""Samples of a note, 1.024 s."""
TIMBRES = {
    "flute": {1: 1.0, 2: 1 / 4, 3: 1 / 16},
    "clarinet": {h: 1 / h for h in (1, 3, 5, 7)},
    "violin": {h: 1 / h for h in range(1, 9)},
}
"""By name, in the order of the condition ``timbre``: harmonics and their weights."""
PITCHES = ("A3", "A♯3", "B3", "C4", "C♯4", "D4", "D♯4", "E4", "F4", "F♯4", "G4", "G♯4")
"""In the order of the condition ``label``."""
LOWEST = 220.0
"""Hz of A3."""
DETUNING = 20
"""Cents, at most, up or down."""
POWER = 0.45
"""The root mean square of a held note at gain 1."""
ATTACK = (40, 320)
"""Samples: 5 to 40 ms."""
HALF_LIFE = (800, 3_200)
"""Samples: 100 to 400 ms."""
FADE = 512
"""Samples at the end."""

SPEC = SampleSpec(
    "audio",
    (1, SAMPLES),
    LEVELS,
    {"label": Categorical(len(PITCHES)), "timbre": Categorical(len(TIMBRES))},
    float(RATE),
)

_PERIOD = 16
"""Bits of a place in a table of one period."""
_PHASE = 32
"""Bits of a phase."""
_WAVE = 24
"""Binary places of an amplitude in a table."""
_UNIT = 15
"""Binary places of gains and envelopes."""
_HALVING = 12
"""Bits of a place in the table of one half-life."""
_ROWS = 16
"""Notes that are computed at once: few enough for a processor's cache."""


def notes(argument: str, data_dir: Path) -> Samples:
    """Synthetic notes: ``train`` (3,000) and ``test`` (1,000), 8 kHz, one second.

    The stored view is int32 ``(N, 1, 8192)``, 16-bit PCM as levels 0 … 65535 with silence at 32768
    (``genbench.io.sounds``). The condition ``label`` is the pitch, 0 … 11, and ``timbre`` 0 … 2,
    drawn independently: a model that is asked for a pitch must find the three timbres by itself, as
    one that is asked for a digit the speakers of ``fsdd``. ``data_dir`` is not used.

    Raises ``UsageError`` for another split.
    """
    split = choose_split("notes", argument, tuple(COUNTS))
    stream = generator(SEED, f"notes {split}")

    def draw(low: int, high: int) -> NDArray[np.int64]:
        """Whole numbers from ``low`` to ``high``."""
        drawn = torch.randint(low, high + 1, (COUNTS[split], 1), generator=stream)
        return drawn.numpy()

    timbre = draw(0, len(TIMBRES) - 1)
    pitch = draw(0, len(PITCHES) - 1)
    drawn = (
        timbre,
        pitch,
        draw(-DETUNING, DETUNING),
        draw(0, (1 << _PHASE) - 1),
        draw(1 << (_UNIT - 2), 1 << _UNIT),
        draw(*ATTACK),
        draw(*HALF_LIFE),
    )
    parts = [
        played(*(values[start : start + _ROWS] for values in drawn))
        for start in range(0, COUNTS[split], _ROWS)
    ]
    data = torch.from_numpy(np.concatenate(parts))[:, None]
    condition = {"label": pitch, "timbre": timbre}
    classes = {name: torch.from_numpy(values[:, 0].copy()) for name, values in condition.items()}
    return in_memory("notes", split, SPEC, data, classes)


def played(
    timbre: NDArray[np.int64],
    pitch: NDArray[np.int64],
    cents: NDArray[np.int64],
    phase: NDArray[np.int64],
    gain: NDArray[np.int64],
    attack: NDArray[np.int64],
    half_life: NDArray[np.int64],
) -> NDArray[np.int32]:
    """Notes in the stored view, int32 ``(n, 8192)``. All arguments are ``(n, 1)``: ``phase`` in
    2⁻³² periods, ``gain`` in 2⁻¹⁵, ``attack`` and ``half_life`` in samples."""
    time = np.arange(SAMPLES, dtype=np.int64)
    turned = (phase + steps()[pitch, cents + DETUNING] * time) & ((1 << _PHASE) - 1)
    wave = waves()[timbre, turned >> (_PHASE - _PERIOD)]
    halved = time * ((1 << _PHASE) // half_life) >> (_PHASE - _HALVING)
    envelope = halvings()[halved & ((1 << _HALVING) - 1)] >> (halved >> _HALVING)
    envelope = envelope * gain >> _UNIT
    begin = time[: ATTACK[1]]
    envelope[:, : ATTACK[1]] = envelope[:, : ATTACK[1]] * np.minimum(begin, attack) // attack
    envelope[:, -FADE:] = envelope[:, -FADE:] * np.arange(FADE)[::-1] // FADE
    # Amplitude 1 is PCM value 2¹⁵; the nearest whole number.
    shift = _WAVE + _UNIT - 15
    pcm: NDArray[np.int64] = (wave * envelope + (1 << (shift - 1))) >> shift
    return (pcm + SILENCE).astype(np.int32)


@cache
def waves() -> NDArray[np.int64]:
    """One period of each timbre, ``(3, 65536)``, amplitude 1 being 2²⁴."""
    return np.rint(exact_waves()).astype(np.int64)


def exact_waves() -> NDArray[np.float64]:
    """The same before it is rounded."""
    place = 2 * np.pi * np.arange(1 << _PERIOD) / (1 << _PERIOD)
    rows = []
    for weights in TIMBRES.values():
        power = sum(weight**2 for weight in weights.values()) / 2
        scale = (1 << _WAVE) * POWER / power**0.5
        rows.append(scale * sum(w * np.sin(h * place) for h, w in weights.items()))
    return np.array(rows)


@cache
def steps() -> NDArray[np.int64]:
    """By pitch and detuning, ``(12, 41)``: 2⁻³² periods from one sample to the next."""
    return np.rint(exact_steps()).astype(np.int64)


def exact_steps() -> NDArray[np.float64]:
    """The same before it is rounded."""
    cents = np.arange(-DETUNING, DETUNING + 1) + 100 * np.arange(len(PITCHES))[:, None]
    return LOWEST / RATE * 2.0 ** (cents / 1200 + _PHASE)


@cache
def halvings() -> NDArray[np.int64]:
    """The decay from 1 to 1/2, ``(4096,)``, 1 being 2¹⁵."""
    return np.rint(exact_halvings()).astype(np.int64)


def exact_halvings() -> NDArray[np.float64]:
    """The same before it is rounded."""
    return 2.0 ** (_UNIT - np.arange(1 << _HALVING) / (1 << _HALVING))
