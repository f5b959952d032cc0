"""What is measured of sounds, against closed forms, and how two sets of them differ."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import wasserstein_distance
from torch import Tensor

from genbench.api import SampleSpec
from genbench.extractors.sound import LogMel, statistics
from genbench.metrics.sound_statistics import SoundStatistics

SPEC = SampleSpec("audio", (1, 8000), None, rate=8000.0)
TIME = torch.arange(8000) / 8000


def sine(hertz: float, amplitude: float = 0.5) -> Tensor:
    # Its phase keeps zeros from falling on samples.
    return amplitude * torch.sin(2 * math.pi * hertz * TIME + 0.4)


SOUNDS = {
    "silence": (torch.zeros(8000), (1.0, 0.0, 0.0, 0.0)),
    "a sine": (sine(440), (0.0013, 0.0, 0.0, 440.0)),
    "half of it silent": (sine(440) * (TIME < 0.5), (0.5006, 0.0, 0.0, 441.0)),
    "above an offset": (sine(440) + 0.2, (0.002, 0.0, 0.2, 440.0)),
    "a constant": (torch.full((8000,), 0.3), (0.0, 0.0, 0.3, 0.0)),
    "clipped": (sine(97, 4).clamp(-1, 1), (0.0, 0.839, 0.0, 291.0)),
    "two sines of equal power": (sine(300, 0.3) + sine(1777, 0.3), (0.0015, 0.0, 0.0, 1777.0)),
}


@pytest.mark.parametrize("name", SOUNDS)
def test_what_is_measured_of_a_sound(name: str) -> None:
    sound, expected = SOUNDS[name]
    silent, clipped, offset, bandwidth = statistics(sound[None, None], SPEC)[0].tolist()
    assert silent == pytest.approx(expected[0], abs=8e-3)
    assert clipped == pytest.approx(expected[1], abs=1e-2)
    assert offset == pytest.approx(expected[2], abs=1e-3)
    assert bandwidth == pytest.approx(expected[3], abs=2)


def test_white_noise_fills_the_band() -> None:
    noise = 0.1 * torch.randn(4, 2, 8000)
    bandwidths = statistics(noise, SampleSpec("audio", (2, 8000), None, rate=8000.0))[:, 3]
    assert (bandwidths - 0.95 * 4000).abs().max() < 50


def test_levels_and_amplitudes_measure_alike() -> None:
    """Full scale of 16-bit PCM is clipped, its middle level silent."""
    spec = SampleSpec("audio", (1, 4), 1 << 16, rate=8000.0)
    stored = torch.tensor([[[0, 65_535, 32_768, 32_768]]], dtype=torch.int32)
    silent, clipped, *_ = statistics(stored, spec)[0].tolist()
    assert (silent, clipped) == (0.5, 0.5)


def test_a_difference_is_the_transport_of_each_measure() -> None:
    real, made = torch.rand(50, 4), torch.rand(40, 4) + 0.1
    metric = SoundStatistics()
    for part in real.split(20):
        metric.update({"sound_statistics": part}, "reference")
    metric.update({"sound_statistics": made}, "generated")
    found = metric.compute()
    for column, name in enumerate(SoundStatistics.outputs):
        expected = wasserstein_distance(real[:, column].numpy(), made[:, column].numpy())
        assert found[name].value == pytest.approx(expected)
        assert found[name].low is not None
    metric.reset()
    metric.update({"sound_statistics": real}, "reference")
    metric.update({"sound_statistics": real.flip(0)}, "generated")
    assert {estimate.value for estimate in metric.compute().values()} == {0.0}


def test_log_mel_is_of_the_mean_channel_and_in_20_decibels() -> None:
    spec = SampleSpec("audio", (2, 8000), None, rate=8000.0)
    both = torch.stack([sine(1000, 1.0), sine(1000, 1.0)])[None]
    features = LogMel()(both, spec)["features"].view(40, 16)
    assert features.max() == pytest.approx(0, abs=0.1)
    assert features.min() == -4
    one = torch.stack([2 * sine(1000, 0.05), torch.zeros(8000)])[None]
    quiet = LogMel()(one, spec)["features"].view(40, 16)
    # The mean of the channels is 0.05: 26 dB below a full sine.
    assert quiet.max() == pytest.approx(math.log10(0.05), abs=0.1)
    assert int(quiet[:, 8].argmax()) == int(features[:, 8].argmax())


def test_log_mel_hears_sounds_alone() -> None:
    assert LogMel().supports(SampleSpec("audio", (1, 100), None, rate=44_100.0)) is None
    reason = LogMel().supports(SampleSpec("image", (3, 8, 8)))
    assert reason == "the log-mel extractor hears sounds, not image"
