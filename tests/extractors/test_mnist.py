"""The extractors of MNIST and Fashion-MNIST: their shipped weights, and what their features see."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
import train_classifiers
from safetensors.torch import load
from torch import Tensor
from torch.nn import functional as F

from genbench.api import Samples, SampleSpec
from genbench.data import vision
from genbench.extractors import mnist as module
from genbench.extractors.classifier import Classifier
from genbench.metrics.frechet import frechet_distance

SPEC = SampleSpec("image", (1, 28, 28))
SHIPPED = files("genbench.extractors")
EXTRACTORS = {"mnist": module.mnist, "fashion-mnist": module.fashion_mnist}
DATA = {"mnist": vision.mnist, "fashion-mnist": vision.fashion_mnist}
TARGETS = {"mnist": 0.992, "fashion-mnist": 0.915}

each = pytest.mark.parametrize("name", sorted(EXTRACTORS))


def metadata_of(name: str) -> dict[str, Any]:
    metadata: dict[str, Any] = json.loads(SHIPPED.joinpath(f"{name}.json").read_text())
    return metadata


def embed(extractor: Classifier, images: Tensor) -> dict[str, Tensor]:
    parts = [extractor(chunk, SPEC) for chunk in images.split(500)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def take(samples: Samples, count: int) -> Tensor:
    return samples.take(torch.arange(count)).data


@each
def test_shipped_weights_are_small_and_named_by_their_hash(name: str) -> None:
    data = SHIPPED.joinpath(f"{name}.safetensors").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    assert len(data) < 1_000_000
    assert metadata_of(name)["sha256"] == digest
    assert EXTRACTORS[name]().id == f"{name}@{digest[:12]}"


@each
def test_features_are_the_spatial_mean_of_the_last_convolution(name: str) -> None:
    """The network written out again, from the shipped tensors alone."""
    weights = load(SHIPPED.joinpath(f"{name}.safetensors").read_bytes())
    stored = torch.randint(0, 256, (5, 1, 28, 28), dtype=torch.uint8)
    x = stored.float() / 255
    for at in (0, 4, 7, 11):
        x = F.conv2d(x, weights[f"convolutions.{at}.weight"], padding=1)
        mean, variance, scale, bias = (
            weights[f"convolutions.{at + 1}.{kind}"].view(1, -1, 1, 1)
            for kind in ("running_mean", "running_var", "weight", "bias")
        )
        x = (x - mean) / (variance + 1e-5).sqrt() * scale + bias
        last = x
        x = x.clamp(min=0)
        if at in (0, 7, 11):
            x = F.max_pool2d(x, 2)
    logits = x.flatten(1) @ weights["classifier.4.weight"].T + weights["classifier.4.bias"]
    seen = EXTRACTORS[name]()(stored, SPEC)
    assert seen["features"].shape == (5, 128)
    torch.testing.assert_close(seen["features"], last.mean(dim=(2, 3)), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(seen["logits"], logits, rtol=1e-4, atol=1e-4)
    assert not seen["features"].requires_grad


@each
def test_the_accuracy_in_the_metadata_is_that_of_the_weights(name: str, shared_data: Path) -> None:
    test = DATA[name]("test", shared_data)
    batch = test.take(torch.arange(len(test)))
    predicted = embed(EXTRACTORS[name](), batch.data)["logits"].argmax(dim=1)
    accuracy = float((predicted == batch.condition["label"]).double().mean())
    metadata = metadata_of(name)
    assert accuracy >= TARGETS[name]
    assert abs(accuracy - metadata["test_accuracy"]) < 5e-4
    assert (metadata["test_data"], metadata["test_count"]) == (test.id, 10_000)
    assert metadata["data"] == DATA[name]("train", shared_data).id


@each
def test_five_percent_of_junk_shows_and_more_than_in_the_logits(
    name: str, shared_data: Path
) -> None:
    """How many times the distance between two halves grows with 5% of one in uniform noise."""
    images = take(DATA[name]("test", shared_data), 4000)
    half, other = images[:2000], images[2000:]
    mixed = half.clone()
    stream = torch.Generator().manual_seed(0)
    mixed[:100] = torch.randint(0, 256, (100, 1, 28, 28), generator=stream).byte()
    seen = [embed(EXTRACTORS[name](), x) for x in (half, mixed, other)]

    def growth(kind: str) -> float:
        clean, junk, reference = (features[kind].double() for features in seen)
        return distance(junk, reference) / distance(clean, reference)

    assert growth("features") > 10
    assert growth("features") > 5 * growth("logits")


def distance(x: Tensor, y: Tensor) -> float:
    return frechet_distance(x.mean(0), torch.cov(x.T), y.mean(0), torch.cov(y.T))


@pytest.mark.parametrize(
    "spec",
    [
        SampleSpec("image", (3, 28, 28)),
        SampleSpec("image", (1, 8, 8)),
        SampleSpec("image", (1, 28, 28), levels=17),
        SampleSpec("points", (2,), levels=None),
    ],
)
@each
def test_other_samples_are_refused_with_the_reason(name: str, spec: SampleSpec) -> None:
    reason = EXTRACTORS[name]().supports(spec)
    assert reason is not None
    assert f"the {name} extractor sees image samples of shape (1, 28, 28) with 256 levels" in reason
    assert EXTRACTORS[name]().supports(SPEC) is None


def test_the_card_is_of_what_was_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two trainings on few pictures: the same weights, and their accuracy on the others."""
    write_idx(tmp_path / "mnist")
    monkeypatch.setattr(vision, "IDX_COUNTS", {"train": 256, "test": 64})
    brief = dataclasses.replace(train_classifiers.MNIST, epochs=3, batch=32)
    monkeypatch.setattr(train_classifiers, "MNIST", brief)
    for folder in ("first", "second"):
        train_classifiers.main("mnist", tmp_path, tmp_path / folder)
    data = (tmp_path / "first" / "mnist.safetensors").read_bytes()
    assert data == (tmp_path / "second" / "mnist.safetensors").read_bytes()
    metadata = json.loads((tmp_path / "first" / "mnist.json").read_text())
    assert metadata["sha256"] == hashlib.sha256(data).hexdigest()
    network = module.MnistNetwork().eval()
    network.load_state_dict(load(data))
    test = vision.mnist("test", tmp_path).take(torch.arange(64))
    with torch.no_grad():
        predicted = network(test.data.float() / 255)[1].argmax(dim=1)
    right = int((predicted == test.condition["label"]).sum())
    assert metadata["test_accuracy"] == right / 64
    assert right > 32


def write_idx(folder: Path) -> None:
    """Pictures with one bright row, which is their label."""
    folder.mkdir()
    stream = torch.Generator().manual_seed(0)
    for part, count in (("train", 256), ("t10k", 64)):
        labels = torch.randint(0, 10, (count,), generator=stream).byte()
        images = torch.randint(0, 64, (count, 28, 28), generator=stream).byte()
        images[torch.arange(count), 2 * labels.long() + 4] = 255
        for kind, array in (("images", images), ("labels", labels)):
            axes = b"".join(size.to_bytes(4, "big") for size in array.shape)
            header = bytes([0, 0, 8, array.ndim]) + axes
            path = folder / f"{part}-{kind}-idx{array.ndim}-ubyte.gz"
            path.write_bytes(gzip.compress(header + array.numpy().tobytes()))
