"""The digits extractor: its shipped weights, and what its features see."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from importlib.resources import files
from pathlib import Path

import pytest
import torch
import train_classifiers
from safetensors.torch import load
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional as F

from genbench.api import SampleSpec
from genbench.api.errors import GenbenchError
from genbench.extractors import digits as module
from genbench.extractors.digits import DigitsNetwork, digits
from genbench.metrics.frechet import frechet_distance

SPEC = SampleSpec("image", (1, 8, 8), levels=17)
SHIPPED = files("genbench.extractors")


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.from_numpy(load_digits().images).byte()[:, None]


def embed(images: Tensor) -> Tensor:
    return digits()(images, SPEC)["features"].double()


def distance(x: Tensor, y: Tensor) -> float:
    return frechet_distance(x.mean(0), torch.cov(x.T), y.mean(0), torch.cov(y.T))


def test_shipped_weights_are_small_and_named_by_their_hash() -> None:
    data = SHIPPED.joinpath("digits.safetensors").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    assert len(data) < 500_000
    assert json.loads(SHIPPED.joinpath("digits.json").read_text())["sha256"] == digest
    assert digits().id == f"digits@{digest[:12]}"


def test_features_are_the_spatial_mean_of_the_last_convolution(images: Tensor) -> None:
    """The network written out again, from the shipped tensors alone."""
    weights = load(SHIPPED.joinpath("digits.safetensors").read_bytes())
    layer = [weights[f"convolutions.{i}.{kind}"] for i in (0, 2, 5) for kind in ("weight", "bias")]
    dense = [weights[f"classifier.{i}.{kind}"] for i in (2, 4) for kind in ("weight", "bias")]
    x = images[:7].float() / 16
    x = F.conv2d(x, layer[0], layer[1], padding=1).tanh()
    x = F.conv2d(x, layer[2], layer[3], padding=1).tanh()
    x = F.conv2d(F.max_pool2d(x, 2), layer[4], layer[5], padding=1)
    logits = F.linear(x.tanh().flatten(1), dense[0], dense[1]).tanh() @ dense[2].T + dense[3]
    seen = digits()(images[:7], SPEC)
    assert seen["features"].shape == (7, 64)
    torch.testing.assert_close(seen["features"], x.mean(dim=(2, 3)))
    torch.testing.assert_close(seen["logits"], logits)
    assert not seen["features"].requires_grad


def test_matrix_products_are_in_full_precision_and_the_setting_is_put_back(
    images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    forward = DigitsNetwork.forward

    def watched(self: DigitsNetwork, x: Tensor) -> tuple[Tensor, Tensor]:
        seen.append((torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32))
        return forward(self, x)

    monkeypatch.setattr(DigitsNetwork, "forward", watched)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        embed(images[:2])
        assert seen == [("highest", False)]
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)


def test_it_reads_digits(images: Tensor) -> None:
    predicted = digits()(images, SPEC)["logits"].argmax(dim=1)
    accuracy = (predicted == torch.from_numpy(load_digits().target)).double().mean()
    assert accuracy > 0.99
    assert json.loads(SHIPPED.joinpath("digits.json").read_text())["held_out_accuracy"] > 0.98


def test_five_percent_of_junk_shows(images: Tensor) -> None:
    """Over random halves, mean floor against mean distance with 5% of uniform noise mixed in."""
    stream = torch.Generator().manual_seed(0)
    floors, junks = [], []
    for _ in range(5):
        order = torch.randperm(len(images), generator=stream)
        half, other = images[order[:898]], images[order[898:]]
        mixed = half.clone()
        mixed[:45] = torch.randint(0, 17, (45, 1, 8, 8), generator=stream).byte()
        floors.append(distance(embed(half), embed(other)))
        junks.append(distance(embed(mixed), embed(other)))
    assert sum(junks) > 3 * sum(floors)


@pytest.mark.parametrize(
    "spec",
    [
        SampleSpec("image", (3, 8, 8), levels=17),
        SampleSpec("image", (1, 28, 28), levels=17),
        SampleSpec("image", (1, 8, 8), levels=256),
        SampleSpec("points", (2,), levels=None),
    ],
)
def test_other_samples_are_refused_with_the_reason(spec: SampleSpec) -> None:
    reason = digits().supports(spec)
    assert reason is not None
    assert "(1, 8, 8) with 17 levels" in reason
    assert str(spec.shape) in reason
    assert digits().supports(SPEC) is None


def test_altered_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(SHIPPED.joinpath("digits.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "digits.safetensors").write_bytes(data)
    (tmp_path / "digits.json").write_text(SHIPPED.joinpath("digits.json").read_text())
    monkeypatch.setattr(module, "files", lambda package: tmp_path)
    with pytest.raises(GenbenchError, match=r"digits\.safetensors is damaged: install"):
        digits()


def test_training_is_the_same_each_time_and_writes_a_card_that_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        train_classifiers, "DIGITS", dataclasses.replace(train_classifiers.DIGITS, epochs=1)
    )
    for name in ("first", "second"):
        train_classifiers.main("digits", tmp_path, tmp_path / name)
    data = (tmp_path / "first" / "digits.safetensors").read_bytes()
    assert data == (tmp_path / "second" / "digits.safetensors").read_bytes()
    metadata = json.loads((tmp_path / "first" / "digits.json").read_text())
    assert metadata["sha256"] == hashlib.sha256(data).hexdigest()
    assert metadata["held_out_accuracy"] > 0.5
    DigitsNetwork().load_state_dict(load(data))
