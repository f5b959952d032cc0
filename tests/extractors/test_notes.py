"""The reader of notes: every pitch is read rightly, and from its spectrum alone."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from genbench.api import SampleSpec
from genbench.data import notes as data
from genbench.extractors.notes import Notes

SPEC = data.SPEC


@pytest.fixture(scope="module")
def batch() -> tuple[Tensor, Tensor]:
    read = data.notes("test", Path("unused")).take(torch.arange(300))
    return read.data, read.condition["label"]


def pitch(x: Tensor) -> Tensor:
    return Notes()(SPEC.decode(x), SPEC)["logits"].argmax(dim=1)


def test_every_pitch_is_read_and_no_other_is_near(batch: tuple[Tensor, Tensor]) -> None:
    stored, labels = batch
    seen = Notes()(stored, SPEC)
    first, second = seen["logits"].topk(2, dim=1).values.T
    assert torch.equal(seen["logits"].argmax(dim=1), labels)
    assert (first - second).min() > 5
    assert seen["features"].shape == (300, 59)


def test_neither_loudness_nor_delay_nor_some_noise_changes_the_pitch(
    batch: tuple[Tensor, Tensor],
) -> None:
    stored, labels = batch
    x = SPEC.encode(stored)
    power = x.square().mean(dim=2, keepdim=True)
    for changed in (0.1 * x, x.roll(700, dims=2), x + (0.1 * power).sqrt() * torch.randn(x.shape)):
        assert torch.equal(pitch(changed), labels)


@pytest.mark.parametrize("cents", [-20, 0, 20])
def test_a_pure_tone_has_the_pitch_that_is_nearest(cents: int) -> None:
    numbers = torch.arange(12)
    hertz = 220 * 2 ** ((numbers + cents / 100) / 12)
    time = torch.arange(8192) / 8000
    x = 0.3 * torch.sin(2 * math.pi * hertz[:, None] * time)[:, None]
    assert torch.equal(pitch(x), numbers)


def test_features_are_spectrum_and_envelope() -> None:
    time = torch.arange(8192) / 8000
    x = 0.5 * torch.sin(2 * math.pi * 440 * time) * (time < 0.512)
    features = Notes()(SPEC.decode(x[None, None]), SPEC)["features"][0]
    spectrum, envelope = features[:51], features[51:]
    assert int(spectrum.argmax()) == 12  # an octave above 220 Hz
    assert float(spectrum.square().sum()) == pytest.approx(1, abs=1e-4)
    loud = math.log10(0.5 / math.sqrt(2))
    assert envelope.tolist() == pytest.approx([loud] * 4 + [-3] * 4, abs=0.01)


def test_silence_fits_no_pitch_and_is_no_error() -> None:
    seen = Notes()(torch.full((2, 1, 8192), 32_768, dtype=torch.int32), SPEC)
    assert not seen["logits"].any()
    assert seen["features"].isfinite().all()


def test_other_sounds_are_refused() -> None:
    assert Notes().supports(SPEC) is None
    assert Notes().supports(SampleSpec("audio", (1, 8192), None, rate=8000.0)) is None
    for spec in (
        SampleSpec("audio", (1, 8192), 1 << 16, rate=16_000.0),
        SampleSpec("audio", (1, 100), None, rate=8000.0),
        SampleSpec("image", (3, 8, 8)),
    ):
        reason = Notes().supports(spec)
        assert reason == "the notes extractor reads audio of shape (1, 8192) at 8000 Hz"
