"""Real CIFAR-10 pictures through a trained network: the whole of evaluate, and other
implementations on the very features that it saw.

The network is Yerlan Idelbayev's ResNet-20 (He et al. 2016, section 4.2), exported as a program.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from prdc import compute_prdc
from pytorch_fid.fid_score import calculate_frechet_distance
from torch import Tensor, nn
from torch.nn import functional as F
from torch_fidelity.metric_kid import kid_features_to_metric

import genbench
from genbench import Scores
from genbench.api import Categorical, SampleSpec, TensorSamples
from genbench.extractors.program import program

SPEC = SampleSpec("image", (3, 32, 32), condition={"label": Categorical(10)})
TRAIN, TEST = (0, 1), 50
"""Batches of 1,000 pictures; those from 50 on are of the test set."""


class Block(nn.Module):
    def __init__(self, into: int, width: int) -> None:
        super().__init__()
        self.stride = width // into
        self.conv1 = nn.Conv2d(into, width, 3, self.stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        h = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        if self.stride > 1:  # option A of the paper: padded with zeros
            added = h.shape[1] // 4
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, added, added))
        return (h + x).relu()


class ResNet20(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(Block(16, 16), Block(16, 16), Block(16, 16))
        self.layer2 = nn.Sequential(Block(16, 32), Block(32, 32), Block(32, 32))
        self.layer3 = nn.Sequential(Block(32, 64), Block(64, 64), Block(64, 64))
        self.linear = nn.Linear(64, 10)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        h = self.bn1(self.conv1((x - self.mean) / self.std)).relu()
        features = self.layer3(self.layer2(self.layer1(h))).mean(dim=(2, 3))
        return {"features": features, "logits": self.linear(features)}


@pytest.fixture(scope="module")
def exported(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    weights = shared_data / "resnet-cifar10" / "resnet20-12fca82f.th"
    state = torch.load(weights, map_location="cpu", weights_only=True)["state_dict"]
    network = ResNet20()
    network.load_state_dict(
        {name.removeprefix("module."): value for name, value in state.items()}, strict=False
    )
    batch = torch.export.Dim("batch", min=1)
    path = tmp_path_factory.mktemp("resnet") / "resnet20.pt2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch.export's own
        torch.export.save(
            torch.export.export(
                network.eval(), (torch.rand(2, 3, 32, 32),), dynamic_shapes=({0: batch},)
            ),
            path,
        )
    return path


@pytest.fixture(scope="module")
def pictures(shared_data: Path) -> dict[str, TensorSamples]:
    folder = shared_data / "cifar10-lossless-5k"
    labels = torch.from_numpy(np.load(folder / "labels_51000.npy")).long()

    def read(name: str, batches: Sequence[int]) -> TensorSamples:
        arrays = [np.array(Image.open(folder / f"cifar10_batch_{b}.png")) for b in batches]
        data = torch.from_numpy(np.stack(arrays)).view(-1, 32, 32, 3).permute(0, 3, 1, 2)
        of = torch.cat([labels[1000 * b : 1000 * (b + 1)] for b in batches])
        return TensorSamples(SPEC, name, data.contiguous(), {"label": of})

    return {"train": read("train", TRAIN), "test": read("test", [TEST])}


WANTED = (
    *("frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage"),
    *("authenticity", "data_copying", "feature_likelihood_divergence", "memorized"),
    *("class_accuracy", "frechet_distance_per_class"),
)


def scored(samples: TensorSamples, exported: Path, pictures: dict[str, TensorSamples]) -> Scores:
    return genbench.evaluate(
        samples,
        pictures["test"],
        train=pictures["train"],
        extractor="program",
        extractor_options={"path": str(exported)},
        metrics=WANTED,
    )


def test_the_network_is_the_trained_one(exported: Path, pictures: dict[str, TensorSamples]) -> None:
    """Its authors say 91.7 % of the whole test set."""
    scores = scored(pictures["test"], exported, pictures)
    accuracy = scores.values["class_accuracy"]
    assert accuracy.low is not None
    assert accuracy.high is not None
    assert accuracy.low < 0.917 < accuracy.high
    assert scores.values["frechet_distance"].value < 1e-9


def test_other_implementations_on_the_same_pictures(
    exported: Path, pictures: dict[str, TensorSamples]
) -> None:
    extractor = program(path=str(exported))
    half = TensorSamples(SPEC, "half", pictures["train"].data[:1000], {})
    x, y = (extractor(p.data, SPEC)["features"].double() for p in (pictures["test"], half))
    scores = scored(half, exported, pictures)
    value = {name: estimate.value for name, estimate in scores.values.items()}
    (mu1, sigma1), (mu2, sigma2) = ((z.mean(0).numpy(), z.T.cov().numpy()) for z in (x, y))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pytorch-fid asks scipy for what is outdated
        theirs = calculate_frechet_distance(mu1, sigma1, mu2, sigma2)
    scale = np.trace(sigma1) + np.trace(sigma2)
    assert abs(value["frechet_distance"] - theirs) < 1e-6 * scale
    kid = kid_features_to_metric(x, y, kid_subsets=1, kid_subset_size=1000, verbose=False)
    assert value["kernel_distance"] == pytest.approx(
        kid["kernel_inception_distance_mean"], abs=1e-9
    )
    for name, expected in compute_prdc(x.numpy(), y.numpy(), 5).items():
        assert value[name] == pytest.approx(expected, rel=1e-12), name
    assert "class_accuracy" in scores.skipped  # these have no labels


def test_copies_are_caught_where_distances_are_not_alarmed(
    exported: Path, pictures: dict[str, TensorSamples]
) -> None:
    """The training pictures as if generated; and the same with a tenth of noise."""
    train = pictures["train"]
    copied = scored(TensorSamples(SPEC, "copied", train.data, train.condition), exported, pictures)
    stream = torch.Generator().manual_seed(0)
    noise = 25 * torch.randn(train.data.shape, generator=stream)
    noisy = (train.data + noise).round().clamp(0, 255).byte()
    poor = scored(TensorSamples(SPEC, "noisy", noisy, train.condition), exported, pictures)
    good, bad = copied.values, poor.values
    assert good["memorized"].value > 0.99
    assert good["authenticity"].value < 0.01
    assert good["data_copying"].value < -10
    assert good["feature_likelihood_divergence"].value > 100
    for distance in ("frechet_distance", "kernel_distance", "frechet_distance_per_class"):
        assert good[distance].value < bad[distance].value, distance
    for share in ("precision", "density", "coverage", "class_accuracy"):
        assert good[share].value > bad[share].value, share
    assert bad["memorized"].value < 0.5
    assert bad["data_copying"].value > good["data_copying"].value
