"""The consistency function, its loss and its curriculum, against the papers' formulas."""

from __future__ import annotations

import math
from typing import Any

import pytest
import scipy.stats
import torch
from torch import Tensor, nn

from baselines.conditioning import UNCONDITIONAL
from baselines.consistency import Consistency, pseudo_huber
from baselines.optimizers import OptimizerConfig
from baselines.schedules import NoiseLevels
from genbench.api import Batch, Progress, SampleSpec

POINTS = SampleSpec("points", (2,), None)
SIGMA_MIN = 0.002
HALFWAY = Progress(500, 64_000, 128_000)


class Linear(nn.Module):
    """F = p x + q, for the same p and q at all times."""

    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))
        self.q = nn.Parameter(torch.tensor(-0.2, dtype=torch.float64))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return self.p * x + self.q


class Solves(nn.Module):
    """The network that makes f the exact consistency function of N(m, s²).

    The ODE's paths are x(σ) = m + √(s² + σ²) z; a point mass has s = 0.
    """

    def __init__(self, mean: float, deviation: float) -> None:
        super().__init__()
        self.mean, self.deviation = mean, deviation
        self.unused = nn.Parameter(torch.zeros(()).double())

    def exact(self, x: Tensor, sigma: Tensor) -> Tensor:
        spread = self.deviation**2
        ratio = ((spread + SIGMA_MIN**2) / (spread + sigma**2)).sqrt()
        return self.mean + ratio * (x - self.mean)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        sigma = (4 * time).exp()[:, None]
        x_t = x * (sigma**2 + 0.5**2).sqrt()
        c_skip = 0.5**2 / ((sigma - SIGMA_MIN) ** 2 + 0.5**2)
        c_out = 0.5 * (sigma - SIGMA_MIN) / (sigma**2 + 0.5**2).sqrt()
        # At sigma_min c_out is 0, and what stands here does not count.
        output = (self.exact(x_t, sigma) - c_skip * x_t) / c_out
        return output.where(c_out > 1e-9, 0) + self.unused


def model(network: nn.Module, **options: Any) -> Consistency:
    how = {"sigma_data": 0.5, "intervals": (10, 1280)} | options
    return Consistency(POINTS, network, OptimizerConfig(1e-3), UNCONDITIONAL, **how)


def levels(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_the_function_is_the_identity_at_the_least_level() -> None:
    x = torch.randn(3, 2, dtype=torch.float64)
    it = model(Linear())
    assert torch.equal(it.function(x, levels(SIGMA_MIN), {}), x)
    assert not torch.allclose(it.function(x, levels(0.01), {}), x)


def test_the_function_by_hand() -> None:
    # Song et al. 2023, appendix C; the inputs as EDM's.
    x, sigma = torch.randn(4, 2, dtype=torch.float64), levels(0.002, 0.1, 1.0, 80.0)
    s = sigma[:, None]
    c_skip = 0.25 / ((s - 0.002) ** 2 + 0.25)
    c_out = 0.5 * (s - 0.002) / (0.25 + s**2).sqrt()
    expected = c_skip * x + c_out * (0.7 * x / (s**2 + 0.25).sqrt() - 0.2)
    torch.testing.assert_close(model(Linear()).function(x, sigma, {}), expected)


@pytest.mark.parametrize(("examples", "intervals"), [(0, 10), (64_000, 160), (127_872, 1280)])
def test_the_loss_of_the_exact_function_of_a_point_is_0(examples: int, intervals: int) -> None:
    torch.manual_seed(0)
    it = model(Solves(0.3, 0.0))
    batch = Batch(torch.full((500, 2), 0.3, dtype=torch.float64))
    progress = Progress(examples // 128, examples, 128_000)
    assert len(it.grid(progress)) == intervals + 1
    (turn,) = it.losses(batch, progress)
    assert turn.loss.item() < 1e-8
    assert turn.loss.item() < 1e-4 * next(model(Linear()).losses(batch, progress)).loss.item()


@pytest.mark.parametrize("steps", [1, 2])
def test_samples_of_the_exact_function_are_those_of_a_gaussian(steps: int) -> None:
    torch.manual_seed(0)
    noise = torch.randn(20_000, 2, dtype=torch.float64)
    x = model(Solves(0.3, 0.5)).sample(noise, {}, steps=steps)
    if steps == 1:  # the ODE's path through 80 z, but for the mean that 80 z lacks
        expected = 0.3 + 0.5 / 80 * (80 * noise - 0.3)
        torch.testing.assert_close(x, expected, rtol=0, atol=1e-4)
    assert scipy.stats.kstest(x[:, 0].numpy(), "norm", (0.3, 0.5)).pvalue > 0.01


def test_the_loss_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    it = model(Linear())
    below, above = levels(0.1, 1.0, 40.0), levels(0.12, 1.3, 44.0)
    monkeypatch.setattr(it, "draw", lambda count, progress: (below, above))
    x_0 = torch.randn(3, 2, dtype=torch.float64)
    torch.manual_seed(1)
    noise = torch.randn_like(x_0)
    torch.manual_seed(1)
    (turn,) = it.losses(Batch(x_0), HALFWAY)
    student = it.function(x_0 + above[:, None] * noise, above, {})
    teacher = it.function(x_0 + below[:, None] * noise, below, {}).detach()
    c = 0.00054 * math.sqrt(2)
    distance = ((student - teacher).square().sum(1) + c**2).sqrt() - c
    expected = (distance / (above - below)).mean()
    torch.testing.assert_close(turn.loss, expected)
    # The teacher stands still: gradients are the student's alone.
    weights = list(it.parameters())
    torch.testing.assert_close(
        torch.autograd.grad(turn.loss, weights), torch.autograd.grad(expected, weights)
    )


def test_the_metric_is_pseudo_huber() -> None:
    x, y = torch.randn(2, 4, 3, 8, 8)
    norm = (x - y).flatten(1).norm(dim=1)
    torch.testing.assert_close(pseudo_huber(x, y), norm, rtol=2e-3, atol=0)
    near = pseudo_huber(x, x + 1e-7)
    assert torch.allclose(near, torch.zeros(4), atol=1e-6)
    assert torch.equal(pseudo_huber(x, x), torch.zeros(4))


def test_intervals_double_as_in_the_paper() -> None:
    # Song & Dhariwal 2024, section 3.4:
    # N(k) = min(s_0 2^⌊k/K'⌋, s_1) + 1, K' = ⌊K/(log₂⌊s_1/s_0⌋ + 1)⌋.
    steps, it = 400_000, model(Linear())
    stage = steps // (int(math.log2(1280 // 10)) + 1)
    for k in [0, 1, *(edge + d for edge in range(stage, steps, stage) for d in (-1, 0, 1))]:
        expected = min(10 * 2 ** (k // stage), 1280) + 1
        assert len(it.grid(Progress(k, 1024 * k, 1024 * steps))) == expected
    assert len(it.grid(Progress(steps - 1, 1024 * (steps - 1), 1024 * steps))) == 1281


def test_one_number_of_intervals_stays() -> None:
    it = model(Linear(), intervals=(20, 20))
    assert {len(it.grid(Progress(k, k, 100))) for k in range(100)} == {21}


def test_levels_are_drawn_as_in_the_paper() -> None:
    # Song & Dhariwal 2024, section 3.5:
    # p(σ_i) ∝ erf((log σ_{i+1} + 1.1)/(√2 2)) - erf((log σ_i + 1.1)/(√2 2)).
    torch.manual_seed(0)
    it = model(Linear())
    progress = Progress(0, 0, 128_000)
    grid = NoiseLevels().at(torch.linspace(0, 1, 11, dtype=torch.float64))
    below, above = it.draw(50_000, progress)
    index = torch.searchsorted(grid, below + 1e-9) - 1
    torch.testing.assert_close(grid[index], below)
    torch.testing.assert_close(grid[index + 1], above)
    erf = ((grid.log() + 1.1) / (math.sqrt(2) * 2.0)).erf()
    share = erf.diff() / (erf[-1] - erf[0])
    counts = torch.bincount(index, minlength=10) / 50_000
    torch.testing.assert_close(counts.double(), share, rtol=0, atol=1e-4)


def test_student_and_teacher_share_their_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dropping(Linear):
        def forward(self, x: Tensor, time: Tensor) -> Tensor:
            return self.p * nn.functional.dropout(torch.ones_like(x), 0.5, self.training)

    it = model(Dropping()).train()
    below = torch.full((200,), 1.0, dtype=torch.float64)
    monkeypatch.setattr(it, "draw", lambda count, progress: (below, below + 1e-9))
    (turn,) = it.losses(Batch(torch.zeros(200, 2, dtype=torch.float64)), HALFWAY)
    # Where masks differ, f does by 0.6, over a distance of 1e-9.
    assert turn.loss.item() < 10


@pytest.mark.parametrize(
    ("steps", "expected"), [(1, [80.0]), (2, [80.0, 0.821]), (3, [80.0, 65.68**0.5, 0.821])]
)
def test_levels_of_several_steps(steps: int, expected: list[float]) -> None:
    states = list(model(Linear()).path(torch.randn(2, 2).double(), {}, steps=steps))
    assert [float(t) for _, t in states if t is not None] == pytest.approx(expected)
    assert states[-1][1] is None


@torch.no_grad()
def test_noise_is_added_up_to_its_level() -> None:
    torch.manual_seed(0)
    it = model(Linear())
    (_, _), (x_t, t), (_, _) = it.path(torch.zeros(20_000, 2).double(), {}, steps=2)
    assert t is not None
    denoised = it.function(torch.zeros(1, 2).double(), levels(80.0), {})
    assert float((x_t - denoised).std()) == pytest.approx(
        math.sqrt(0.821**2 - SIGMA_MIN**2), rel=0.02
    )
