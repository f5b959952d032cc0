"""What the GANs share, against closed forms in one dimension and definitions written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from baselines.adversarial import (
    LOSSES,
    accuracies,
    append_labels,
    frozen,
    input_gradient,
    relativistic,
    squared_norms,
)
from baselines.conditioning import conditions_of, labels_of
from baselines.optimizers import RateOptions
from genbench.api import Progress


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


W, THETA = 0.7, -0.4


def d_by_w(name: str, x: Tensor, g: Tensor) -> Tensor:
    """The slope of the discriminator's loss by w, for D(x) = w x, by hand."""
    if name == "non-saturating":
        return -(x * torch.sigmoid(-W * x)).mean() + (g * torch.sigmoid(W * g)).mean()
    if name == "hinge":
        return -(x * (W * x < 1)).mean() + (g * (W * g > -1)).mean()
    return g.mean() - x.mean()


def g_by_theta(name: str, g: Tensor) -> Tensor:
    """The slope of the generator's loss by θ, for G(z) = θ + z, by hand."""
    if name == "non-saturating":
        return -(W * torch.sigmoid(-W * g)).mean()
    return torch.tensor(-W, dtype=g.dtype)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_have_their_closed_form(name: str) -> None:
    x, z = torch.randn(2, 512, dtype=torch.float64)
    w = torch.tensor(W, dtype=torch.float64, requires_grad=True)
    theta = torch.tensor(THETA, dtype=torch.float64, requires_grad=True)
    g = (theta + z).detach()
    (slope,) = torch.autograd.grad(LOSSES[name].discriminator(w * x, w * g), w)
    torch.testing.assert_close(slope, d_by_w(name, x, g))
    (slope,) = torch.autograd.grad(LOSSES[name].generator(W * (theta + z)), theta)
    torch.testing.assert_close(slope, g_by_theta(name, g))


@pytest.mark.parametrize("name", LOSSES)
def test_no_discriminator_is_better_than_a_right_one(name: str) -> None:
    """The convention: positive means real, whatever the loss."""
    real, fake = torch.full((4,), 0.5), torch.full((4,), -0.5)
    loss = LOSSES[name]
    assert loss.discriminator(real, fake) < loss.discriminator(fake, real)
    assert loss.generator(real) < loss.generator(fake)


def test_relativistic_gradients_have_their_closed_form() -> None:
    """Of D(x) = w x: ∂/∂w softplus(w (g - x)) = (g - x) σ(w (g - x)), and mirrored for G."""
    x, z = torch.randn(2, 512, dtype=torch.float64)
    w = torch.tensor(W, dtype=torch.float64, requires_grad=True)
    theta = torch.tensor(THETA, dtype=torch.float64, requires_grad=True)
    g = (theta + z).detach()
    (slope,) = torch.autograd.grad(relativistic(w * x, w * g), w)
    torch.testing.assert_close(slope, ((g - x) * torch.sigmoid(W * (g - x))).mean())
    (slope,) = torch.autograd.grad(relativistic(W * (theta + z), W * x), theta)
    torch.testing.assert_close(slope, -(W * torch.sigmoid(W * (x - g))).mean())


def cubic(x: Tensor, a: Tensor) -> Tensor:
    """D(x) = a Σ x³ of each sample, whose gradient is 3 a x²."""
    return a * x.pow(3).flatten(1).sum(1)


@pytest.mark.parametrize("shape", [(3,), (2, 4), (1, 2, 3)])
def test_penalties_and_what_they_do_to_the_weights_have_their_closed_form(
    shape: tuple[int, ...],
) -> None:
    """R1: ‖3 a x²‖² = 9 a² Σ x⁴, which moves a by 18 a Σ x⁴."""
    a = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    x = torch.randn(5, *shape, dtype=torch.float64)
    logits, gradient = input_gradient(lambda x: cubic(x, a), x, torch.float64)
    torch.testing.assert_close(logits, cubic(x, a))
    assert gradient.dtype == torch.float32
    torch.testing.assert_close(gradient, (3 * a * x.square()).float())
    fourth = x.pow(4).flatten(1).sum(1)
    torch.testing.assert_close(squared_norms(gradient), (9 * a**2 * fourth).float())
    (slope,) = torch.autograd.grad(squared_norms(gradient).mean(), a)
    torch.testing.assert_close(slope, 18 * a * fourth.mean(), rtol=1e-6, atol=0)
    assert not x.requires_grad


def test_penalties_are_exact_under_autocast() -> None:
    network = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1))
    x = torch.randn(4, 8)
    _, expected = input_gradient(network, x, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert network(x).dtype == torch.bfloat16
        logits, gradient = input_gradient(network, x, torch.float32)
    assert logits.dtype == torch.float32
    assert torch.equal(gradient, expected)


def test_a_frozen_network_passes_gradients_and_keeps_none() -> None:
    network, x = nn.Linear(2, 1), torch.randn(3, 2, requires_grad=True)
    with frozen(network):
        total = network(x).sum()
    total.backward()
    assert x.grad is not None
    assert all(p.grad is None and p.requires_grad for p in network.parameters())


def test_accuracies_count_what_is_told_rightly() -> None:
    told = accuracies(torch.tensor([1.0, -1.0, 2.0, 3.0]), torch.tensor([1.0, -1.0]))
    assert told == {"accuracy_real": 0.75, "accuracy_fake": 0.5}


def test_learning_rates_fall_as_they_say() -> None:
    expected = {
        "none": [0.5, 0.5, 0.5, 0.5],
        "linear": [0.5, 0.375, 0.25, 0.0],
        "cosine": [0.5, 0.25 + 0.25 * math.sqrt(0.5), 0.25, 0.0],
    }
    for decay, rates in expected.items():
        rate = RateOptions(0.5, decay)  # type: ignore[arg-type]
        found = [0.5 * rate.schedule(Progress(0, n, 100)) for n in (0, 25, 50, 100)]
        assert found == pytest.approx(rates)


def test_labels_stand_beside_every_position() -> None:
    x, labels = torch.randn(2, 3, 2, 2), torch.tensor([1, 0])
    out = append_labels(x, labels, 2)
    assert out.shape == (2, 5, 2, 2)
    assert torch.equal(out[:, :3], x)
    assert torch.equal(out[0, 3:], torch.stack([torch.zeros(2, 2), torch.ones(2, 2)]))
    assert torch.equal(append_labels(x[:, :, 0, 0], labels, 2), out[:, :, 0, 0])


def test_only_a_model_with_classes_is_given_labels() -> None:
    condition = {"label": torch.tensor([1, 0])}
    assert labels_of(condition, conditions_of(0)) is None
    assert labels_of(condition, conditions_of(2)) is condition["label"]
