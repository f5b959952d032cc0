"""Sounds: PCM and levels, what they look like, and the files that hold them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import wavfile

from genbench.api import LENGTH, Categorical, Frames, SampleSpec, Shown
from genbench.io.sounds import LEVELS, SILENCE, pcm16
from genbench.modalities.audio import AUDIO, BACKGROUND, WAVEFORM
from genbench.modalities.spectrograms import FLOOR, log_mel, mel_filters

RATE = 8_000
SPEC = SampleSpec("audio", (1, 2_048), LEVELS, rate=RATE)


def sine(frequency: float, count: int = 2_048, amplitude: float = 1.0) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(count) / RATE)


def stored(*waves: np.ndarray, spec: SampleSpec = SPEC) -> Shown:
    """Sounds of one channel."""
    x = torch.from_numpy(np.stack(waves)[:, None])
    return Shown(spec.decode(x).numpy(), spec)


# --- PCM, levels and amplitudes. ---


def test_every_level_survives_the_models_view() -> None:
    level = torch.arange(LEVELS, dtype=torch.int32)
    assert torch.equal(SPEC.decode(SPEC.encode(level)), level)


def test_levels_are_pcm_values() -> None:
    level = np.arange(LEVELS, dtype=np.int32)
    np.testing.assert_array_equal(pcm16(level, LEVELS), np.arange(-(1 << 15), 1 << 15))
    assert pcm16(np.array(SILENCE), LEVELS) == 0


def test_reals_are_clipped_and_made_finite() -> None:
    x = np.array([-2, -1, 0, 1, 2, np.nan, np.inf, -np.inf], np.float32)
    assert pcm16(x, None).tolist() == [-32768, -32768, 0, 32767, 32767, 0, 32767, -32768]


@pytest.mark.parametrize("channels", [1, 2])
def test_a_wav_file_holds_the_samples_one_after_the_other(channels: int) -> None:
    spec = SampleSpec("audio", (channels, 50), LEVELS, rate=44_100)
    data = np.random.default_rng(0).integers(0, LEVELS, (3, channels, 50)).astype(np.int32)
    rate, read = wavfile.read(io.BytesIO(AUDIO.writers[".wav"](Shown(data, spec))))
    assert (rate, read.dtype) == (44_100, np.int16)
    expected = np.concatenate([*(data - SILENCE)], axis=1).T
    np.testing.assert_array_equal(read.reshape(150, channels), expected)


# --- What may be a sound. ---


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"levels": None}, None),
        ({"shape": (2, 5)}, None),
        ({"levels": None, "condition": {LENGTH: Categorical(2_049)}}, None),
        ({"shape": (5,)}, "sounds have the shape (channels, samples), not (5,)"),
        ({"rate": None}, "a rate in whole Hz, and this one says none"),
        ({"rate": 0.5}, "a rate in whole Hz, and this one says 0.5"),
        ({"condition": {LENGTH: Categorical(2_049)}}, "sounds in levels have no 'length'"),
    ],
)
def test_what_is_a_sound(change: Mapping[str, Any], reason: str | None) -> None:
    said = AUDIO.check(SampleSpec(**{**vars(SPEC), **change}))
    assert said is reason is None or (reason is not None and reason in str(said))


# --- Spectrograms. ---


@pytest.mark.parametrize(("rate", "size", "bands"), [(8_000, 256, 40), (44_100, 2_048, 80)])
def test_mel_filters_are_those_of_transformers(rate: int, size: int, bands: int) -> None:
    from transformers.audio_utils import mel_filter_bank

    theirs = mel_filter_bank(size // 2 + 1, bands, 0, rate / 2, rate, None, "htk")
    np.testing.assert_allclose(mel_filters(rate, size, bands), theirs.T, atol=1e-9)


@pytest.mark.parametrize("frequency", [250, 1_000, 3_000])
def test_a_sine_is_loudest_in_its_band_and_at_about_0_decibels(frequency: float) -> None:
    decibels = log_mel(sine(frequency), RATE, 32, 40)
    middle = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 4000 / 700), 42) / 2595) - 1)[1:-1]
    nearest = np.abs(middle - frequency).argmin()
    assert (abs(decibels[:, 4:-4].argmax(axis=0) - nearest) <= 1).all()
    assert abs(decibels[:, 4:-4].max()) < 3
    softer = log_mel(sine(frequency, amplitude=0.1), RATE, 32, 40)
    np.testing.assert_allclose(softer.max(), decibels.max() - 20, atol=0.01)


def test_silence_is_at_the_floor() -> None:
    assert (log_mel(np.zeros(500), RATE, 16, 10) == FLOOR).all()


@pytest.mark.parametrize("place", [0, 12_345, 50_001, 79_999])
def test_nothing_of_a_long_sound_is_left_out(place: int) -> None:
    """A click is seen in its column, though a column is longer than many windows."""
    x = np.zeros(80_000)
    x[place] = 1
    decibels = log_mel(x, RATE, 20, 10)
    column = place // 4_000
    assert decibels.max(axis=0).argmax() == column
    assert decibels[:, column].max() > FLOOR + 10


# --- Pictures. ---


def pixels(picture: Any) -> np.ndarray:
    return np.asarray(picture.convert("RGB"))


def test_a_waveform_stands_above_its_spectrogram() -> None:
    loud = np.where(np.arange(2_048) < 1_024, 1.0, 0.0) * sine(1_000)
    shown = stored(loud)
    picture = pixels(AUDIO.preview(shown, shown))
    assert picture.shape == (24 + 1 + 40, 128, 3)
    bars = (picture[:24] == WAVEFORM).all(axis=2)
    assert bars[:, 1:60].mean() > 0.9
    assert (bars[:, 70:].sum(axis=0) <= 2).all()
    bright = picture[25:].sum(axis=2)
    assert bright[:, 5:60].max() > 500
    assert (picture[25:, 75:] == BACKGROUND).mean() > 0.9
    # The lowest band is the lowest row: a thousand hertz is in the upper half of the bands.
    assert 15 < bright[:, 30].argmax() < 25


def test_the_first_eight_are_shown_two_in_a_row() -> None:
    shown = stored(*[sine(300 + 100 * number) for number in range(11)])
    assert pixels(AUDIO.preview(shown, shown)).shape == (4 * 66 - 1, 2 * 129 - 1, 3)


def test_trajectories_pairs_and_files() -> None:
    shown = stored(*[sine(300 + 100 * number) for number in range(4)])
    frames = Frames("reverse", np.stack([shown.data] * 10), SPEC)
    assert AUDIO.strip is not None
    assert AUDIO.animation is not None
    assert AUDIO.pairs is not None
    assert pixels(AUDIO.strip(frames, True)).shape == (4 * 42 - 1, 10 * 40 - 1, 3)
    assert pixels(AUDIO.strip(frames, False)).shape == (4 * 114 - 1, 10 * 257 - 1, 3)
    animated = AUDIO.animation(frames)
    assert [pixels(frame).shape for frame in animated] == [(2 * 114 - 1, 2 * 257 - 1, 3)] * 10
    assert pixels(AUDIO.pairs(shown, shown)).shape == (2 * 42 - 1, 4 * 40 - 1, 3)
    file = Image.open(io.BytesIO(AUDIO.writers[".png"](shown)))
    assert file.size == (2 * 257 - 1, 2 * 114 - 1)


def test_channels_are_shown_by_their_mean() -> None:
    one = stored(sine(500), spec=SampleSpec("audio", (1, 2_048), None, rate=RATE))
    two = SampleSpec("audio", (2, 2_048), None, rate=RATE)
    both = Shown(np.concatenate([one.data, 0 * one.data], axis=1), two)
    half = Shown(one.data / 2, one.spec)
    np.testing.assert_array_equal(
        pixels(AUDIO.preview(both, both)), pixels(AUDIO.preview(half, half))
    )


def test_a_sound_shorter_than_its_picture_and_one_of_nan_are_drawn() -> None:
    spec = SampleSpec("audio", (1, 7), None, rate=RATE)
    shown = Shown(np.array([[[0, 1, -1, 0.5, 0, 0, 0]], [[np.nan] * 7]], np.float32), spec)
    assert pixels(AUDIO.preview(shown, shown)).shape == (65, 257, 3)
