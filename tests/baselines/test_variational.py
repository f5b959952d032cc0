"""The variational bound against torch.distributions, diffusers and an entropy in closed form."""

from __future__ import annotations

import math

import pytest
import torch
from diffusers import DDPMScheduler
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from baselines.schedules import Betas, CosineBetas, LinearBetas
from baselines.variational import bound

TABLES = [LinearBetas(1000), CosineBetas(1000), LinearBetas(50)]
LEVELS = 17


def beta_and_posterior_variance(table: Betas) -> tuple[Tensor, Tensor]:
    """At t = 1, …, T, from the definitions (Ho et al. 2020, eq. 7)."""
    alpha_bar = table.alpha_bar
    beta = 1 - alpha_bar[1:] / alpha_bar[:-1]
    return beta, beta * (1 - alpha_bar[:-1]) / (1 - alpha_bar[1:])


def posterior_mean(table: Betas, t: int, x_0: Tensor, x_t: Tensor) -> Tensor:
    beta, _ = beta_and_posterior_variance(table)
    before, now = table.alpha_bar[t - 1], table.alpha_bar[t]
    of_x_0 = before.sqrt() * beta[t - 1] / (1 - now)
    of_x_t = (1 - beta[t - 1]).sqrt() * (1 - before) / (1 - now)
    return of_x_0 * x_0 + of_x_t * x_t


@pytest.fixture
def values() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x_0 on levels, among them both ends; a guess at it; v; x_t."""
    generator = torch.Generator().manual_seed(0)
    level = torch.randint(LEVELS, (4, 3, 5), generator=generator)
    level[:, 0, 0], level[:, 0, 1] = 0, LEVELS - 1
    x_0 = level.double() * 2 / (LEVELS - 1) - 1
    guess = x_0 + 0.1 * torch.randn(x_0.shape, dtype=torch.float64, generator=generator)
    v, x_t = torch.rand(2, *x_0.shape, dtype=torch.float64, generator=generator)
    return x_0, guess, v, x_t


@pytest.mark.parametrize("table", TABLES)
def test_terms_are_divergences_of_gaussians(
    table: Betas, values: tuple[Tensor, Tensor, Tensor, Tensor]
) -> None:
    x_0, guess, v, x_t = values
    beta, posterior = beta_and_posterior_variance(table)
    t = torch.tensor([2, 7, table.timesteps // 2, table.timesteps])
    expected = []
    for i, time in enumerate(t.tolist()):
        small, large = posterior[time - 1], beta[time - 1]
        variance = (v[i] * large.log() + (1 - v[i]) * small.log()).exp()
        q = Normal(posterior_mean(table, time, x_0[i], x_t[i]), small.sqrt())
        p = Normal(posterior_mean(table, time, guess[i], x_t[i]), variance.sqrt())
        expected.append(kl_divergence(q, p).mean() / math.log(2))
    terms = bound(table, LEVELS, x_0, guess, v, t)
    torch.testing.assert_close(terms, torch.stack(expected), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("levels", [LEVELS, None])
def test_the_term_at_1_is_the_likelihood_of_the_data(
    table: Betas, levels: int | None, values: tuple[Tensor, Tensor, Tensor, Tensor]
) -> None:
    x_0, guess, v, _ = values
    beta, posterior = beta_and_posterior_variance(table)
    variance = (v * beta[0].log() + (1 - v) * posterior[1].log()).exp()
    # Wide enough to reach other levels, without which every cell's probability is 0 or 1.
    guess = x_0 + (guess - x_0).sign() / 16 + variance.sqrt()
    p = Normal(guess, variance.sqrt())
    if levels is None:
        log_p = p.log_prob(x_0)
    else:
        above, below = p.cdf(x_0 + 1 / 16), p.cdf(x_0 - 1 / 16)
        above[x_0 == 1], below[x_0 == -1] = 1.0, 0.0
        log_p = (above - below).clamp_min(1e-12).log()
        assert 0.1 < log_p.exp().mean() < 0.9
    terms = bound(table, levels, x_0, guess, v, torch.ones(4, dtype=torch.long))
    torch.testing.assert_close(terms, -log_p.flatten(1).mean(1) / math.log(2))


@pytest.mark.parametrize(
    ("table", "name"),
    [(LinearBetas(1000), "linear"), (CosineBetas(1000), "squaredcos_cap_v2")],
)
def test_variances_are_diffusers_learned_range(table: Betas, name: str) -> None:
    # Where guess and data agree, the divergence tells the variance: (r + exp(-r) - 1)/2 with
    # r = log Σ - log β̃.
    theirs = DDPMScheduler(1000, beta_schedule=name, variance_type="learned_range")
    x_0 = torch.zeros(3, 1, dtype=torch.float64)
    output = torch.tensor([[-1.0], [0.2], [1.0]], dtype=torch.float64)
    for t in (2, 10, 500, 1000):
        log_variance = theirs._get_variance(t - 1, output)
        small = theirs._get_variance(t - 1, variance_type="fixed_small").log()
        ratio = (log_variance - small)[:, 0]
        expected = (ratio + (-ratio).exp() - 1) / 2 / math.log(2)
        terms = bound(table, None, x_0, x_0, (output + 1) / 2, torch.full((3,), t))
        torch.testing.assert_close(terms, expected.double(), rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize(("s", "best", "other"), [(1.0, 1.0, 0.0), (0.01, 0.0, 1.0)])
def test_the_whole_bound_of_a_gaussian_is_its_entropy(s: float, best: float, other: float) -> None:
    # Ho et al. 2020, section 3.2: β is the right variance for x_0 ~ N(0, I), β̃ for a point; 0.01 is
    # near enough to one. The prior's term is next to nothing.
    torch.manual_seed(0)
    table = LinearBetas(1000)
    t = torch.arange(1, 1001)
    alpha, sigma = (c[:, None] for c in table(t))
    x_0 = s * torch.randn(1000, 400, dtype=torch.float64)
    x_t = alpha * x_0 + sigma * torch.randn(1000, 400, dtype=torch.float64)
    guess = s**2 * alpha / ((s * alpha) ** 2 + sigma**2) * x_t
    entropy = math.log2(s * math.sqrt(2 * math.pi * math.e))
    gap, other_gap = (
        float(bound(table, None, x_0, guess, torch.full_like(x_0, v), t).sum()) - entropy
        for v in (best, other)
    )
    assert 0 < gap < 0.05 < 0.3 < other_gap
