"""The forward process and the loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from baselines.conditioning import labelled
from baselines.ddpm import Ddpm, ImprovedDdpm
from baselines.diffusion import Diffusion, State, diffuse, last_of
from baselines.networks.mlp import MLP
from baselines.optimizers import OptimizerConfig
from baselines.predictions import CLEAN, EPSILON, Prediction, V, edm, min_snr
from baselines.schedules import VE, VP, LinearBetas, NoiseLevels, Schedule
from baselines.variational import bound
from genbench.api import Batch, Condition, Progress, SampleSpec
from genbench.registry import check_options

START = Progress(0, 0, 1000)
POINTS = SampleSpec("points", (2,), None)


class Guess(nn.Module):
    """A network with one parameter, which it predicts everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, time: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.value.expand_as(x)


def diffusion(schedule: Schedule, network: nn.Module, **options: Any) -> Diffusion:
    return Diffusion(POINTS, schedule, network, OptimizerConfig(3e-3), **options)


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
    (turn,) = diffusion(VP(), Guess()).losses(Batch(torch.randn(20_000, 2)), START)
    assert turn.player == "denoiser"
    assert abs(turn.loss.item() - 1) < 0.05
    assert turn.loss.dtype == torch.float32


def test_the_exact_denoiser_of_a_gaussian_reaches_the_least_loss() -> None:
    # For x_0 ~ N(0, 1) under VP, x_t ~ N(0, 1) and E[ε | x_t] = sigma x_t leaves alpha² of ε.
    class Exact(Guess):
        def forward(self, x: Tensor, time: Tensor, labels: Tensor | None = None) -> Tensor:
            _, sigma = VP()(time.double())
            return sigma.float()[:, None] * x

    torch.manual_seed(0)
    (turn,) = diffusion(VP(), Exact()).losses(Batch(torch.randn(40_000, 2)), START)
    alpha, _ = VP()(torch.linspace(0, 1, 10_000, dtype=torch.float64))
    assert abs(turn.loss.item() - float(alpha.square().mean())) < 0.01


@pytest.mark.parametrize("prediction", [EPSILON, CLEAN, V, edm(0.5)])
@pytest.mark.parametrize("weighting", [None, min_snr])
def test_the_loss_is_a_weighted_error_of_the_denoiser(
    prediction: Prediction, weighting: Any
) -> None:
    # |F* - F|² is |x_0 - D|²/c_out², and min-SNR weighs |x_0 - D|² by min(SNR, 5).
    schedule = NoiseLevels() if weighting is None else LinearBetas(1000)
    model = diffusion(schedule, Guess(), prediction=prediction, weighting=weighting)
    torch.manual_seed(0)
    x_0, noise, output = torch.randn(3, 6, 2, dtype=torch.float64)
    t = schedule.at(torch.linspace(0.2, 1, 6, dtype=torch.float64))
    x_t = diffuse(schedule, x_0, t, noise)
    alpha, sigma = schedule(t)
    error = (x_0 - prediction.denoised(schedule, output, x_t, t)).square().mean(1)
    weight = prediction.c_out(alpha, sigma) ** -2
    if weighting is not None:
        weight = (alpha / sigma).square().clamp_max(5)
    loss = model.loss(output, x_0, x_t, noise, t)
    torch.testing.assert_close(loss, (weight * error).mean())


def test_the_loss_follows_the_global_generator() -> None:
    model = diffusion(VP(), Guess())
    x = torch.randn(64, 2)

    def loss(seed: int) -> float:
        torch.manual_seed(seed)
        (turn,) = model.losses(Batch(x), START)
        return turn.loss.item()

    assert loss(0) == loss(0) != loss(1)


def test_labels_reach_the_network_with_some_dropped() -> None:
    seen: list[Tensor] = []

    class Listener(Guess):
        def forward(self, x: Tensor, time: Tensor, labels: Tensor | None = None) -> Tensor:
            assert labels is not None
            seen.append(labels)
            return super().forward(x, time)

    torch.manual_seed(0)
    model = diffusion(VP(), Listener(), conditioning=labelled(4, dropout=0.5))
    labels = torch.arange(4).repeat(50)
    (_,) = model.losses(Batch(torch.randn(200, 2), {"label": labels}), START)
    gone = seen[0] == 4
    assert 60 < int(gone.sum()) < 140
    assert torch.equal(seen[0][~gone], labels[~gone])
    assert model.conditions == {"label"}


def test_training_on_eight_gaussians_lowers_the_loss() -> None:
    torch.manual_seed(0)
    network = MLP(2, width=64, blocks=2, dropout=0.0)
    model = diffusion(LinearBetas(100), network)
    how = model.optimization("denoiser")
    optimizer = how.optimizer(network.named_parameters())
    losses = []
    for step in range(200):
        progress = Progress(step, 128 * step, 128 * 200)
        optimizer.param_groups[0]["lr"] = optimizer.defaults["lr"] * how.schedule(progress)
        (turn,) = model.losses(Batch(eight_gaussians(128)), progress)
        optimizer.zero_grad()
        turn.loss.backward()
        optimizer.step()
        losses.append(turn.loss.item())
    assert losses[0] > 0.9
    assert sum(losses[-20:]) / 20 < 0.45


class Walk(Diffusion):
    """Three states, as a sampler would pass through them."""

    def path(
        self, noise: Tensor, condition: Condition, *, steps: PositiveInt = 2
    ) -> Iterator[State]:
        """Adds 1 in each step."""
        x = noise
        for t in (1.0, 0.5):
            yield x, torch.tensor(t, dtype=torch.float64)
            x = x + steps
        yield x, None

    sample = last_of(path)


def test_samples_are_the_end_of_a_trajectory_at_unit_scale() -> None:
    schedule = VE(0.01, 50.0)
    model = Walk(POINTS, schedule, Guess(), OptimizerConfig(1e-3))
    noise = torch.randn(5, 2)
    first, second, last = model.trajectory(noise, {}, steps=3)
    torch.testing.assert_close(first, noise / (1 + 50.0**2) ** 0.5)
    torch.testing.assert_close(second, (noise + 3) / (1 + 0.5) ** 0.5)
    assert torch.equal(last, noise + 3 + 3)
    assert torch.equal(model.sample(noise, {}, steps=3), last)
    assert not model.sample(noise.requires_grad_(), {}).requires_grad
    assert check_options("sample", model.sample, {}) == {"steps": 2}
    assert model.sample.__doc__ == "Adds 1 in each step."


@pytest.mark.parametrize("schedule", [VP(), VE(0.01, 50.0), LinearBetas(100), NoiseLevels()])
def test_diffused_samples_go_from_data_to_noise_at_unit_scale(schedule: Schedule) -> None:
    torch.manual_seed(0)
    model = diffusion(schedule, Guess())
    x_0, noise = torch.randn(2, 20_000, 2)
    near, middle, far = (model.diffused(x_0, noise, fraction) for fraction in (0.0, 0.5, 1.0))
    torch.testing.assert_close(near, x_0, rtol=0, atol=0.06)
    torch.testing.assert_close(far, noise, rtol=0, atol=0.15)
    for x in (near, middle, far):
        assert abs(float(x.std()) - 1) < 0.02
    t = schedule.at(torch.tensor(0.5).double())
    alpha, sigma = schedule(t)
    expected = (alpha * x_0 + sigma * noise) / (alpha**2 + sigma**2).sqrt()
    torch.testing.assert_close(middle, expected)


def test_the_hybrid_loss_teaches_means_by_one_part_and_variances_by_the_other() -> None:
    schedule = LinearBetas(100)
    torch.manual_seed(0)
    x_0, noise = torch.randn(2, 8, 2)
    t = torch.tensor([1, 2, 5, 20, 40, 60, 80, 100])
    x_t = diffuse(schedule, x_0, t, noise)
    output = torch.randn(8, 4, requires_grad=True)
    how = Guess(), OptimizerConfig(1e-3)
    ImprovedDdpm(POINTS, schedule, *how).loss(output, x_0, x_t, noise, t).backward()
    assert output.grad is not None
    mean, variance = output.grad.chunk(2, dim=1)

    means, rest = (part.detach().requires_grad_() for part in output.chunk(2, dim=1))
    Ddpm(POINTS, schedule, *how).loss(means, x_0, x_t, noise, t).backward()
    torch.testing.assert_close(mean, means.grad)
    guess = EPSILON.denoised(schedule, means.detach(), x_t, t)
    terms = bound(schedule, None, x_0, guess, (rest + 1) / 2, t)
    # λ = 0.001, of a sum over 100 timesteps.
    (0.001 * 100 * terms.mean()).backward()
    torch.testing.assert_close(variance, rest.grad)
    assert variance.abs().min() > 0
