"""Synthetic notes: the law that they are drawn from, and bits that no processor changes."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from genbench.api import Categorical, TensorSamples
from genbench.api.errors import UsageError
from genbench.data import notes, open_samples
from genbench.io.sounds import SILENCE
from genbench.testing import check_dataset

IDS = {"train": "dc37e848afffbfe4", "test": "5a45e1fda37efef6"}
"""By which records name them: whoever changes these changes the data set."""


@pytest.fixture(scope="module")
def test_split() -> TensorSamples:
    samples = open_samples("notes:test", Path())
    assert isinstance(samples, TensorSamples)
    return samples


def one(
    timbre: str,
    pitch: int,
    cents: int = 0,
    phase: float = 0.0,
    gain: float = 1.0,
    attack: int = 40,
    half_life: int = 3_200,
) -> np.ndarray:
    """PCM values of a note."""
    numbers = [[*notes.TIMBRES].index(timbre), pitch, cents, round(phase * 2**32)]
    numbers += [round(gain * 2**15), attack, half_life]
    (levels,) = notes.played(*(np.array([[number]]) for number in numbers))
    return levels - SILENCE


def expected(
    timbre: str, pitch: int, cents: int, phase: float, gain: float, attack: int, half_life: int
) -> np.ndarray:
    """The law as the module states it, in reals."""
    time = np.arange(8_192)
    frequency = 220 * 2 ** ((pitch + cents / 100) / 12)
    turned = 2 * np.pi * (phase + frequency / 8_000 * time)
    weights = notes.TIMBRES[timbre]
    power = math.sqrt(sum(weight**2 for weight in weights.values()) / 2)
    x = 0.45 / power * sum(weight * np.sin(h * turned) for h, weight in weights.items())
    x *= gain * 2.0 ** (-time / half_life) * np.minimum(time / attack, 1)
    return 2**15 * x * np.minimum((8_191 - time) / 512, 1)


@pytest.mark.parametrize(
    ("timbre", "pitch", "cents", "phase", "gain", "attack", "half_life"),
    [
        ("flute", 0, 0, 0.0, 1.0, 40, 3_200),
        ("clarinet", 5, -20, 0.3, 0.25, 320, 800),
        ("violin", 11, 20, 0.99, 0.7, 111, 1_777),
    ],
)
def test_whole_numbers_follow_the_law(
    timbre: str, pitch: int, cents: int, phase: float, gain: float, attack: int, half_life: int
) -> None:
    played = one(timbre, pitch, cents, phase, gain, attack, half_life)
    stated = expected(timbre, pitch, cents, phase, gain, attack, half_life)
    # The table of a period has 2¹⁶ places: the eighth harmonic is up to 2π·8·2⁻¹⁶ early.
    assert np.abs(played - stated).max() < 2**15 * 8e-4
    assert np.abs(played - stated).std() < 3


def test_no_table_depends_on_the_last_bit_of_a_sine() -> None:
    """The nearest tie is a hundred times as far as a library of mathematics may be wrong."""
    for exact in (notes.exact_waves(), notes.exact_steps(), notes.exact_halvings()):
        from_tie = np.abs(exact - np.floor(exact) - 0.5)
        assert from_tie.min() > 100 * np.spacing(np.abs(exact).max())


@pytest.mark.parametrize("pitch", [0, 7, 11])
@pytest.mark.parametrize("timbre", notes.TIMBRES)
def test_pitch_and_timbre_are_heard(timbre: str, pitch: int) -> None:
    played = one(timbre, pitch, attack=40, half_life=3_200)
    spectrum = np.abs(np.fft.rfft(played * np.hanning(8_192)))
    frequency = 220 * 2 ** (pitch / 12)
    places = {h: round(h * frequency * 8_192 / 8_000) for h in range(1, 9)}
    at = {h: spectrum[place - 2 : place + 3].max() for h, place in places.items()}
    weights = notes.TIMBRES[timbre]
    for harmonic, peak in at.items():
        assert peak / at[1] == pytest.approx(weights.get(harmonic, 0.0), abs=0.02, rel=0.15)


def test_timbres_are_equally_loud_and_none_is_clipped() -> None:
    power = [np.square(notes.exact_waves()[number] / 2**24).mean() for number in range(3)]
    assert np.sqrt(power) == pytest.approx([0.45] * 3)
    assert np.abs(notes.waves()).max() < 2**24


def test_a_split(test_split: TensorSamples) -> None:
    assert test_split.data.shape == (1_000, 1, 8_192)
    assert test_split.data.dtype == torch.int32
    spec = test_split.spec
    assert (spec.modality, spec.shape) == ("audio", (1, 8_192))
    assert (spec.levels, spec.rate) == (65_536, 8_000)
    assert spec.condition == {"label": Categorical(12), "timbre": Categorical(3)}
    pcm = test_split.data[:, 0] - SILENCE
    assert (pcm[:, 0] == 0).all()
    assert (pcm[:, -1] == 0).all()
    assert 10_000 < pcm.abs().max() < 2**15 - 1
    # Uniform and independent, within four standard deviations.
    counts = torch.bincount(3 * test_split.condition["label"] + test_split.condition["timbre"])
    mean = 1_000 / 36
    assert len(counts) == 36
    assert (counts - mean).abs().max() < 4 * math.sqrt(mean)


def test_the_samples_are_these(test_split: TensorSamples) -> None:
    assert test_split.id == f"notes:test@{IDS['test']}"


def test_the_promises_of_a_data_set() -> None:
    check_dataset(cache(notes.notes))


def test_another_split_is_refused() -> None:
    with pytest.raises(UsageError, match="'notes' has no split 'valid'"):
        open_samples("notes:valid", Path())
