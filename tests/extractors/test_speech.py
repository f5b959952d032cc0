"""The judges of spoken digits: their shipped weights, and the corruptions that they hear."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import train_classifiers
from safetensors.torch import load
from torch import Tensor
from torch.nn import functional as F

from genbench.api import SampleSpec
from genbench.data import fsdd as data
from genbench.extractors import speech
from genbench.extractors.classifier import Classifier
from genbench.metrics.frechet import frechet_distance

SPEC = speech.SPEC
SHIPPED = files("genbench.extractors")
EXTRACTORS = {"fsdd-digits": speech.fsdd_digits, "fsdd-speakers": speech.fsdd_speakers}
CONDITIONS = {"fsdd-digits": "label", "fsdd-speakers": "speaker"}

each = pytest.mark.parametrize("name", sorted(EXTRACTORS))


def metadata_of(name: str) -> dict[str, Any]:
    metadata: dict[str, Any] = json.loads(SHIPPED.joinpath(f"{name}.json").read_text())
    return metadata


@each
def test_shipped_weights_are_small_and_named_by_their_hash(name: str) -> None:
    weights = SHIPPED.joinpath(f"{name}.safetensors").read_bytes()
    digest = hashlib.sha256(weights).hexdigest()
    assert len(weights) < 500_000
    assert metadata_of(name)["sha256"] == digest
    assert EXTRACTORS[name]().id == f"{name}@{digest[:12]}"


@each
def test_features_are_the_mean_of_the_last_convolution_over_log_mel(name: str) -> None:
    """The network written out again, from the shipped tensors alone."""
    weights = load(SHIPPED.joinpath(f"{name}.safetensors").read_bytes())
    stored = torch.randint(20_000, 45_000, (5, 1, 8192), dtype=torch.int32)
    amplitude = (stored[:, 0].double() / 65_535 * 2 - 1).float()
    window = torch.hann_window(256)
    framed = F.pad(amplitude, (128, 128)).unfold(1, 256, 128) * window
    power = (torch.fft.rfft(framed).abs() * 2 / window.sum()).square()
    mel = 2595 * torch.log10(1 + torch.linspace(0, 4000, 129).double() / 700)
    corners = torch.linspace(0, float(mel[-1]), 42).double()
    hertz = 700 * (10 ** (corners / 2595) - 1)
    frequency = torch.linspace(0, 4000, 129).double()
    rising = (frequency - hertz[:-2, None]) / (hertz[1:-1] - hertz[:-2])[:, None]
    falling = (hertz[2:, None] - frequency) / (hertz[2:] - hertz[1:-1])[:, None]
    filters = torch.minimum(rising, falling).clamp(min=0).float()
    x = ((power @ filters.T).clamp(min=1e-6).log10() / 3 + 1).transpose(1, 2)[:, None]
    for at in (0, 4, 8, 12):
        x = F.conv2d(x, weights[f"convolutions.{at}.weight"], padding=1)
        mean, variance, scale, bias = (
            weights[f"convolutions.{at + 1}.{kind}"].view(1, -1, 1, 1)
            for kind in ("running_mean", "running_var", "weight", "bias")
        )
        x = (x - mean) / (variance + 1e-5).sqrt() * scale + bias
        last = x
        x = F.max_pool2d(x.clamp(min=0), 2) if at < 12 else x.clamp(min=0)
    pooled = F.adaptive_max_pool2d(x, (2, 4)).flatten(1)
    logits = pooled @ weights["classifier.4.weight"].T + weights["classifier.4.bias"]
    seen = EXTRACTORS[name]()(stored, SPEC)
    assert seen["features"].shape == (5, 64)
    torch.testing.assert_close(seen["features"], last.mean(dim=(2, 3)), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(seen["logits"], logits, rtol=1e-3, atol=1e-3)


@pytest.fixture(scope="module")
def recordings(shared_data: Path) -> Any:
    test = data.fsdd("test", shared_data)
    return test, test.take(torch.arange(len(test)))


@each
def test_held_out_recordings_are_recognised(name: str, recordings: Any, shared_data: Path) -> None:
    test, batch = recordings
    predicted = EXTRACTORS[name]()(batch.data, SPEC)["logits"].argmax(dim=1)
    accuracy = float((predicted == batch.condition[CONDITIONS[name]]).double().mean())
    metadata = metadata_of(name)
    assert accuracy >= 0.97
    assert abs(accuracy - metadata["test_accuracy"]) < 5e-3
    assert (metadata["test_data"], metadata["test_count"]) == (test.id, 300)
    assert metadata["data"] == data.fsdd("train", shared_data).id


def noisy(decibels: float) -> Callable[[Tensor], Tensor]:
    def corrupt(x: Tensor) -> Tensor:
        power = x.square().mean(dim=(1, 2), keepdim=True)
        stream = torch.Generator().manual_seed(0)
        return x + (power * 10 ** (-decibels / 10)).sqrt() * torch.randn(x.shape, generator=stream)

    return corrupt


def low_passed(x: Tensor) -> Tensor:
    kept = torch.fft.rfftfreq(x.shape[2], 1 / 8000) < 1000
    return torch.fft.irfft(torch.fft.rfft(x) * kept, n=x.shape[2])


CORRUPTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "as recorded": lambda x: x,
    "half as loud": lambda x: 0.5 * x,
    "a tenth as loud": lambda x: 0.1 * x,
    "reversed": lambda x: x.flip(2),
    "without all above 1 kHz": low_passed,
    "noise at 20 dB": noisy(20),
    "noise at 10 dB": noisy(10),
    "noise at 0 dB": noisy(0),
    "white noise": lambda x: 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1)),
    "silence": torch.zeros_like,
}


@pytest.fixture(scope="module")
def distances(recordings: Any, shared_data: Path) -> dict[str, dict[str, float]]:
    """Fréchet distances to the training half of what ``CORRUPTIONS`` make of the test half, and of
    one speaker's share of it."""
    train = data.fsdd("train", shared_data)
    reference = train.take(torch.arange(len(train))).data
    _, batch = recordings
    x = SPEC.encode(batch.data)
    heard: dict[str, dict[str, float]] = {}
    for name, extractor in EXTRACTORS.items():
        judge = extractor()
        of = moments(judge, reference)
        heard[name] = {
            what: frechet_distance(*moments(judge, SPEC.decode(corrupt(x))), *of)
            for what, corrupt in CORRUPTIONS.items()
        }
        alone = batch.data[batch.condition["speaker"] == 0]
        heard[name]["one speaker"] = frechet_distance(*moments(judge, alone), *of)
    return heard


def moments(judge: Classifier, stored: Tensor) -> tuple[Tensor, Tensor]:
    features = torch.cat([judge(part, SPEC)["features"] for part in stored.split(300)]).double()
    return features.mean(0), torch.cov(features.T)


ORDERS = [
    ("as recorded", "half as loud", "a tenth as loud"),
    ("as recorded", "reversed"),
    ("as recorded", "one speaker"),
    ("as recorded", "without all above 1 kHz"),
    ("as recorded", "noise at 20 dB", "noise at 10 dB"),
    ("noise at 20 dB", "white noise"),
    ("a tenth as loud", "silence"),
]


@each
@pytest.mark.parametrize("order", ORDERS, ids=lambda order: " < ".join(order))
def test_what_is_worse_to_hear_is_farther_away(
    name: str, order: tuple[str, ...], distances: dict[str, dict[str, float]]
) -> None:
    found = [distances[name][what] for what in order]
    for better, worse in pairwise(found):
        assert worse > 1.5 * better


def test_of_the_two_judges_only_that_of_digits_tells_much_noise_from_more(
    distances: dict[str, dict[str, float]],
) -> None:
    """As docs/guides/scoring.md says."""
    ten, none = ("noise at 10 dB", "noise at 0 dB")
    assert distances["fsdd-digits"][none] > 1.2 * distances["fsdd-digits"][ten]
    assert distances["fsdd-speakers"][none] < 1.2 * distances["fsdd-speakers"][ten]


@pytest.mark.parametrize(
    "spec",
    [
        SampleSpec("audio", (1, 8192), 1 << 16, rate=16_000.0),
        SampleSpec("audio", (1, 16_384), 1 << 16, rate=8_000.0),
        SampleSpec("audio", (1, 8192), None, rate=8_000.0),
        SampleSpec("image", (1, 28, 28)),
    ],
)
@each
def test_other_samples_are_refused_with_the_reason(name: str, spec: SampleSpec) -> None:
    reason = EXTRACTORS[name]().supports(spec)
    assert reason is not None
    assert reason.startswith(
        f"the {name} extractor sees audio samples of shape (1, 8192) with 65536 levels at 8000 Hz, "
        f"not {spec.modality} samples of shape {spec.shape} with "
    )
    assert EXTRACTORS[name]().supports(replace(SPEC, condition=data.SPEC.condition)) is None


def test_what_a_classifier_is_trained_on_sounds_like_what_it_was() -> None:
    """A click in silence: later, softer or louder, and nothing else."""
    x = torch.full((64, 1, 8192), 0.5)
    x[:, :, 1000:1010] = 0.6
    jittered = train_classifiers.SPEECH.jitter(x)
    sound = 2 * jittered[:, 0] - 1
    assert sound.abs().max() <= 0.2 * 10 ** (6 / 20) + 1e-4
    first = sound.abs().gt(0.01).float().argmax(dim=1)
    assert first.unique().numel() > 40
    assert int(first.min()) >= 850
    assert int(first.max()) <= 1000 / 0.9 + 0.15 * 8192 + 20
    silent = torch.full((4, 1, 8192), 0.5)
    assert torch.equal(train_classifiers.SPEECH.jitter(silent), silent)
