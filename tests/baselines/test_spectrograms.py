"""Spectrograms as latents: what they measure, and sounds that come back."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines.spectrograms import (
    SpectrogramCodec,
    SpectrogramOptions,
    mel_filters,
    spectrogram_codec,
)
from genbench import registry
from genbench.api import SampleSpec
from genbench.api.errors import UsageError
from genbench.data.fsdd import SPEC, fsdd

BANDS = [{}, {"bands": 32}]


def codec(**options: Any) -> SpectrogramCodec:
    return spectrogram_codec(SPEC, SpectrogramOptions(**options))


def sine(hertz: float, amplitude: float) -> Tensor:
    return amplitude * torch.sin(2 * math.pi * hertz / 8000 * torch.arange(8192))[None, None]


@pytest.fixture(scope="module")
def recordings(shared_data: Path) -> tuple[Tensor, Tensor]:
    """Thirty of the test recordings ``(30, 1, 8192)`` in [-1, 1], and their digits."""
    batch = fsdd("test", shared_data).take(torch.arange(0, 300, 10))
    return SPEC.encode(batch.data), batch.condition["label"]


@pytest.mark.parametrize(("amplitude", "level"), [(1.0, 1.0), (0.1, 0.5), (1e-3, -0.5)])
def test_a_sine_has_its_amplitude_at_its_frequency(amplitude: float, level: float) -> None:
    """20 dB are half a unit: 80 dB lie between -1 and 1."""
    z = codec().encode(sine(1000, amplitude))
    assert z.shape == (1, *codec().latent_shape) == (1, 1, 128, 64)
    middle = z[0, 0, :, 10:50]
    assert (middle.argmax(dim=0) == 32).all()  # bins of 31.25 Hz
    torch.testing.assert_close(middle[32], torch.full((40,), level), atol=1e-3, rtol=0)


@pytest.mark.parametrize("options", BANDS)
def test_silence_stays_silence(options: dict[str, Any]) -> None:
    silence = torch.zeros(2, 1, 8192)
    z = codec(**options).encode(silence)
    assert (z == -1).all()
    assert not codec(**options).decode(z).any()


def test_a_decoded_sine_is_as_loud_and_as_high() -> None:
    x = codec().decode(codec().encode(sine(440, 0.3)))
    spectrum = torch.fft.rfft(x[0, 0, 1000:7000]).abs()
    peak = int(spectrum.argmax()) * 8000 / 6000
    assert peak == pytest.approx(440, abs=16)
    assert float(x[0, 0, 1000:7000].square().mean().sqrt()) == pytest.approx(
        0.3 / math.sqrt(2), rel=0.1
    )


def test_more_steps_find_better_phases(recordings: tuple[Tensor, Tensor]) -> None:
    """The distance between the spectrogram that was asked for and that of the sound."""
    sounds, _ = recordings
    errors = []
    for steps in (1, 8, 32):
        codec_ = codec(inversion_steps=steps)
        z = codec_.encode(sounds)
        errors.append(float((codec_.encode(codec_.decode(z)) - z).square().mean()))
    assert errors[0] > 1.2 * errors[1] > 1.2 * errors[2]


@pytest.mark.parametrize("options", BANDS)
def test_decoded_digits_are_recognised(
    options: dict[str, Any], recordings: tuple[Tensor, Tensor]
) -> None:
    sounds, digits = recordings
    codec_ = codec(**options)
    stored = SPEC.decode(codec_.decode(codec_.encode(sounds)))
    judged = registry.extractors.make("fsdd-digits")(stored, SPEC)["logits"].argmax(dim=1)
    assert int((judged == digits).sum()) >= 29


def test_decoding_draws_nothing_and_treats_each_sound_by_itself() -> None:
    z = codec().encode(0.1 * torch.randn(3, 1, 8192))
    state = torch.get_rng_state()
    whole = codec().decode(z)
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(codec().decode(z[1:2]), whole[1:2], atol=1e-5, rtol=1e-4)


def test_latents_beyond_the_scale_are_held_in_it() -> None:
    z = codec().encode(sine(1000, 1.0))
    torch.testing.assert_close(codec().decode(z.clamp(min=0.9) + 3), codec().decode(z * 0 + 1))
    assert codec().decode(5 * torch.randn(2, 1, 128, 64)).abs().max() <= 1


@pytest.mark.parametrize("bands", [20, 32, 128])
def test_a_band_is_a_mean_of_its_frequencies(bands: int) -> None:
    filters = mel_filters(8000, 256, bands)
    assert filters.shape == (bands, 129)
    torch.testing.assert_close(filters.sum(dim=1), torch.ones(bands))
    centres = (filters * torch.arange(129)).sum(dim=1)
    assert (centres.diff() >= 0).all()
    if bands == 20:
        # HTK's mel: 1000 Hz are 1000 mel, of 2146 at 4 kHz.
        mel = 2595 * math.log10(1 + float(centres[9]) * 31.25 / 700)
        assert mel == pytest.approx(2146 * 10 / 21, rel=0.02)


def test_the_id_names_every_option() -> None:
    options = [{}, {"hop": 64}, {"window": 512}, {"bands": 32}, {"inversion_steps": 8}]
    assert len({codec(**given).id for given in options}) == len(options)


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        (SampleSpec("image", (3, 32, 32)), {}, "spectrograms are of mono sounds, not of image"),
        (SampleSpec("audio", (2, 8192), None, rate=8e3), {}, "mono sounds, not of audio"),
        (SPEC, {"window": 300}, "window must be a power of two, got 300"),
        (SPEC, {"hop": 100}, "hop must divide the 8192 samples, and be at most half the window"),
        (SPEC, {"hop": 256}, "at most half the window of 256, got 256"),
        (SPEC, {"bands": 129}, "bands must be at most half the window of 256, got 129"),
    ],
)
def test_what_cannot_be_a_spectrogram(
    spec: SampleSpec, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        spectrogram_codec(spec, SpectrogramOptions(**options))
