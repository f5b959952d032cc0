"""The forward process, the loss and the learning rate."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from baselines.diffusion import Diffusion, diffuse, warmup_cosine
from baselines.networks.mlp import MLP
from baselines.schedules import VP, LinearBetas, Schedule
from genbench.types import Batch, Progress, SampleSpec

START = Progress(0, 0, 1000)


class Guess(nn.Module):
    """A network with one parameter, which it predicts everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return self.value.expand_as(x)


def eight_gaussians(count: int) -> Tensor:
    angle = torch.randint(8, (count,)) * torch.pi / 4
    return torch.stack([angle.cos(), angle.sin()], dim=1) + 0.05 * torch.randn(count, 2)


@pytest.mark.parametrize("schedule", [VP(), LinearBetas(100)])
def test_diffused_samples_have_the_marginals_moments(schedule: Schedule) -> None:
    torch.manual_seed(0)
    x_0 = torch.full((50_000, 1), 0.7)
    t = torch.full((50_000,), 0.3).double() if schedule.t_max == 1 else torch.full((50_000,), 30)
    alpha, sigma = schedule(t[0])
    x_t = diffuse(schedule, x_0, t, torch.randn_like(x_0))
    assert abs(float(x_t.mean() - 0.7 * alpha)) < 4.5 * float(sigma) / 50_000**0.5
    assert abs(float(x_t.std() / sigma) - 1) < 4.5 / 100_000**0.5


def test_predicting_nothing_costs_the_noises_variance() -> None:
    torch.manual_seed(0)
    model = Diffusion(SampleSpec("points", (2,), None), VP(), Guess(), 1e-3)
    (turn,) = model.losses(Batch(torch.randn(20_000, 2)), START)
    assert turn.player == "denoiser"
    assert abs(turn.loss.item() - 1) < 0.05
    assert turn.loss.dtype == torch.float32


def test_the_exact_denoiser_of_a_gaussian_reaches_the_least_loss() -> None:
    # For x_0 ~ N(0, 1) under VP, x_t ~ N(0, 1) and E[ε | x_t] = sigma x_t leaves alpha² of ε.
    class Exact(Guess):
        def forward(self, x: Tensor, time: Tensor) -> Tensor:
            _, sigma = VP()(time.double())
            return sigma.float()[:, None] * x

    torch.manual_seed(0)
    model = Diffusion(SampleSpec("points", (2,), None), VP(), Exact(), 1e-3)
    (turn,) = model.losses(Batch(torch.randn(40_000, 2)), START)
    alpha, _ = VP()(torch.linspace(0, 1, 10_000, dtype=torch.float64))
    assert abs(turn.loss.item() - float(alpha.square().mean())) < 0.01


def test_the_loss_follows_the_global_generator() -> None:
    model = Diffusion(SampleSpec("points", (2,), None), VP(), Guess(), 1e-3)
    x = torch.randn(64, 2)

    def loss(seed: int) -> float:
        torch.manual_seed(seed)
        (turn,) = model.losses(Batch(x), START)
        return turn.loss.item()

    assert loss(0) == loss(0) != loss(1)


def test_training_on_eight_gaussians_lowers_the_loss() -> None:
    torch.manual_seed(0)
    network = MLP(2, width=64, blocks=2, dropout=0.0)
    model = Diffusion(SampleSpec("points", (2,), None), LinearBetas(100), network, 3e-3)
    how = model.optimization("denoiser")
    optimizer = how.optimizer(network.parameters())
    losses = []
    for step in range(200):
        progress = Progress(step, 128 * step, 128 * 200)
        optimizer.param_groups[0]["lr"] = how.learning_rate(progress)
        (turn,) = model.losses(Batch(eight_gaussians(128)), progress)
        optimizer.zero_grad()
        turn.loss.backward()
        optimizer.step()
        losses.append(turn.loss.item())
    assert losses[0] > 0.9
    assert sum(losses[-20:]) / 20 < 0.45


def test_the_learning_rate_rises_then_falls_to_0() -> None:
    rates = [warmup_cosine(k / 1000) for k in range(1001)]
    peak = rates.index(max(rates))
    assert rates[0] == 0
    assert 0.99 < rates[peak] <= 1
    assert peak == 20
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[510] == pytest.approx(0.5, abs=0.02)
    assert rates[-1] == pytest.approx(0)


def test_a_diffusion_learns_with_adam_at_the_given_peak() -> None:
    model = Diffusion(SampleSpec("points", (2,), None), VP(), Guess(), 5e-4)
    how = model.optimization("denoiser")
    assert isinstance(how.optimizer(model.parameters()), torch.optim.Adam)
    assert how.learning_rate(Progress(2, 20, 1000)) == pytest.approx(5e-4, rel=0.01)
    assert how.clip_norm == 1.0
