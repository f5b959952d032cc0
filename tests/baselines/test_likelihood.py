"""Likelihood against closed forms, and bits per dimension against an entropy."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from mixtures import EVERY_ODE, GAUSSIAN, PAIR, Labelled, Mixture, f64, normal
from scipy.stats import norm
from torch import Tensor

from baselines.denoisers import Denoiser
from baselines.likelihood import bits_per_dim, log_likelihood
from baselines.schedules import VP, Schedule
from genbench.api import SampleSpec

END = 1e-3
POINTS = SampleSpec("points", (2,), levels=None)
NATS = 0.01 * math.log(2) * 2
"""0.01 bits a dimension, of two."""


def some_data(mixture: Mixture, count: int) -> Tensor:
    which = torch.arange(count) % len(mixture.means)
    factor = torch.linalg.cholesky(mixture.covariances)[which]
    return mixture.means[which] + torch.einsum("bij,bj->bi", factor, normal(count, 2, seed=1))


@pytest.mark.parametrize("mixture", [GAUSSIAN, PAIR], ids=["gaussian", "mixture"])
@pytest.mark.parametrize("name", EVERY_ODE)
def test_the_density_is_the_closed_form_s(name: str, mixture: Mixture) -> None:
    schedule = EVERY_ODE[name]
    end = 0.05 if name == "edm" else END
    x = some_data(mixture, 6)
    alpha, sigma = (float(c) for c in schedule(f64(end)[0]))
    result = log_likelihood(mixture.denoiser(schedule), schedule, x, end=end, trace="exact")
    torch.testing.assert_close(result, mixture.log_density(x, alpha, sigma), rtol=0, atol=NATS)


@pytest.mark.parametrize("trace", ["rademacher", "gaussian"])
def test_the_estimate_of_the_divergence_is_unbiased(trace: Any) -> None:
    torch.manual_seed(0)
    schedule = VP()
    denoise = PAIR.denoiser(schedule)
    x = f64(0.7, 0.0).expand(400, 2)
    exact = log_likelihood(denoise, schedule, x[:1], end=END, trace="exact")
    drawn = log_likelihood(denoise, schedule, x, end=END, trace=trace)
    assert drawn.std() > 0.01
    assert abs(drawn.mean() - exact) < 4 * drawn.std() / 20


def test_more_probes_vary_less() -> None:
    torch.manual_seed(0)
    schedule = VP()
    denoise = PAIR.denoiser(schedule)
    x = f64(0.7, 0.0).expand(200, 2)
    one, nine = (
        log_likelihood(denoise, schedule, x, end=END, trace="gaussian", probes=n, rtol=1e-3).std()
        for n in (1, 9)
    )
    assert 2 < one / nine < 4.5


def test_real_values_are_measured_by_their_density() -> None:
    schedule = VP()
    x = some_data(PAIR, 5)
    result = bits_per_dim(single(PAIR.denoiser(schedule)), schedule, x, POINTS, end=END)
    expected = -PAIR.log_density(x, *(float(c) for c in schedule(f64(END)[0]))) / 2 / math.log(2)
    exact = bits_per_dim(
        single(PAIR.denoiser(schedule)), schedule, x, POINTS, end=END, trace="exact"
    )
    torch.testing.assert_close(exact.double(), expected, rtol=0, atol=0.01)
    assert result.shape == (5,)


def single(denoise: Denoiser) -> Denoiser:
    """As a network is, in float32."""
    return lambda x_t, t: denoise(x_t.double(), t).to(x_t.dtype)


# --- Integers. ---


def isotropic(schedule: Schedule, mean: float, deviation: float) -> Denoiser:
    """Of independent normal numbers, in any shape."""

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = (c.view(-1, *[1] * (x_t.ndim - 1)).to(x_t) for c in schedule(t))
        gain = deviation**2 * alpha / (deviation**2 * alpha**2 + sigma**2)
        return mean + gain * (x_t - alpha * mean)

    return denoise


@pytest.mark.parametrize("levels", [256, 16])
@pytest.mark.parametrize("name", ["vp", "subvp", "ot"])
def test_bits_of_rounded_normal_numbers_are_their_entropy(name: str, levels: int) -> None:
    torch.manual_seed(0)
    spec = SampleSpec("image", (2, 3, 3), levels=levels)
    schedule, mean, deviation = EVERY_ODE[name], 0.1, 0.25
    stored = spec.decode(mean + deviation * torch.randn(400, 2, 3, 3))
    cells = torch.arange(levels + 1) - 0.5
    edges = 2 * cells / (levels - 1) - 1  # of the values that are rounded to 0, 1, …
    mass = torch.as_tensor(norm(mean, deviation).cdf(edges.numpy())).diff()
    entropy = -(mass * mass.log2()).sum()

    # Rademacher probes are exact here: the Jacobian is a multiple of the identity.
    bits = bits_per_dim(isotropic(schedule, mean, deviation), schedule, stored, spec, end=END)
    assert bits.shape == (400,)
    error = bits.std() / 20
    # Above the entropy by what flattening each cell costs: (width / deviation)² / 24 nats.
    flattened = (2 / (levels - 1) / deviation) ** 2 / 24 / math.log(2)
    assert abs(bits.mean() - entropy - flattened) < 4 * error + 0.002
    assert error < 0.02


@pytest.mark.parametrize("levels", [256, 16])
def test_dequantised_levels_fill_the_cells_that_are_rounded_to_them(levels: int) -> None:
    """Seen where a denoiser is first asked."""
    torch.manual_seed(0)
    spec = SampleSpec("points", (3,), levels=levels)
    stored = torch.arange(levels).repeat_interleave(100).repeat(3, 1).T.contiguous()
    seen = []

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        seen.append(x_t)
        return x_t / 2

    bits_per_dim(denoise, VP(), stored, spec, end=0.9)
    off = (seen[0] - spec.encode(stored)).detach() * (levels - 1) / 2
    assert off.abs().max() <= 0.5 + 1e-3
    assert abs(off.mean()) < 0.02
    assert abs(off.std() - 12**-0.5) < 0.01


# --- Conventions. ---


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_gradients_are_had_in_every_mode(mode: Any) -> None:
    schedule = VP()
    layer = torch.nn.Linear(2, 2).double()
    exact = PAIR.denoiser(schedule)

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        return exact(x_t, t) + 0.01 * layer(x_t)

    with mode():
        x = normal(3, 2) / 4
        result = log_likelihood(denoise, schedule, x, end=END, trace="exact")
    assert not result.requires_grad
    assert all(p.grad is None for p in layer.parameters())
    expected = log_likelihood(denoise, schedule, normal(3, 2) / 4, end=END, trace="exact")
    torch.testing.assert_close(result.clone(), expected)


def test_a_sample_s_likelihood_does_not_depend_on_its_batch() -> None:
    schedule = EVERY_ODE["subvp"]
    denoise, x = PAIR.denoiser(schedule), some_data(PAIR, 5)
    together = log_likelihood(denoise, schedule, x, end=END, trace="exact")
    alone = log_likelihood(denoise, schedule, x[2:3], end=END, trace="exact")
    torch.testing.assert_close(together[2:3], alone, rtol=1e-10, atol=1e-10)


def test_samples_are_judged_by_their_own_labels() -> None:
    labels = torch.arange(4.0).double()
    x = labels[:, None] + 0.1 * normal(4, 3)
    result = log_likelihood(Labelled(labels), VP(), x, end=1e-4, trace="exact")
    alpha, sigma = (float(c) for c in VP()(f64(1e-4)[0]))
    deviation = math.hypot(0.1 * alpha, sigma)
    expected = norm(alpha * labels[:, None].numpy(), deviation).logpdf(x.numpy()).sum(1)
    torch.testing.assert_close(result, torch.as_tensor(expected), rtol=0, atol=0.05)
