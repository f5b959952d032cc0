"""The adaptive solver against scipy's of the same method, sample by sample."""

from __future__ import annotations

import math

import pytest
import torch
from mixtures import EVERY_ODE, PAIR, Labelled, f64, normal, refuse, scipy_ode
from torch import Tensor

from baselines.denoisers import Denoiser, velocity
from baselines.samplers import DormandPrince, Selectable, integrate, path
from baselines.samplers.dormand_prince import DORMAND_PRINCE, Adaptive
from baselines.samplers.runge_kutta import combine
from baselines.schedules import VP
from genbench.api.errors import GenbenchError

BOTH_ENDS = {name: f64(schedule.t_max, 2e-3) for name, schedule in EVERY_ODE.items()}


class Counter:
    """A denoiser that counts what it is given."""

    def __init__(self, denoise: Denoiser) -> None:
        self.denoise, self.rows = denoise, 0

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        self.rows += len(x_t)
        return self.denoise(x_t, t)


@pytest.mark.parametrize("name", EVERY_ODE)
def test_every_sample_takes_the_steps_of_scipy_s_rk45(name: str) -> None:
    schedule, times = EVERY_ODE[name], BOTH_ENDS[name]
    denoise = Counter(PAIR.denoiser(schedule))
    # Of several kinds, so that they do not arrive together.
    x = schedule(times[0])[1] * normal(5, 2) * f64(0.1, 1.0, 1.0, 2.0, 4.0)[:, None]
    ours = integrate(DormandPrince(denoise, schedule), x, times, refuse)
    ends, evaluations = zip(
        *(
            scipy_ode(denoise.denoise, schedule, each, times, method="RK45", tolerance=1e-5)
            for each in x
        ),
        strict=True,
    )
    assert len(set(evaluations)) > 1
    assert denoise.rows == sum(evaluations)
    torch.testing.assert_close(ours, torch.cat(ends), rtol=1e-9, atol=1e-9)


def test_steps_of_one_length_are_of_order_5() -> None:
    schedule = EVERY_ODE["ve"]
    denoise = PAIR.denoiser(schedule)
    x = schedule(f64(0.5)[0])[1] * normal(1, 2)

    def slope(x: Tensor, t: Tensor) -> Tensor:
        return velocity(denoise, schedule, x, t)

    def error(steps: int) -> float:
        y, h = x, f64(-0.3 / steps)[0]
        for i in range(steps):
            t = 0.5 + i * h
            slopes = DORMAND_PRINCE.slopes(slope, y, t, h, slope(y, t))
            y = y + h * combine(DORMAND_PRINCE.weights, slopes)
        return float((y - exact).norm())

    exact, _ = scipy_ode(denoise, schedule, x[0], f64(0.5, 0.2), tolerance=1e-13)
    errors = [error(steps) for steps in (10, 20)]
    assert abs(math.log2(errors[0] / errors[1]) - 5) < 0.3, errors


@pytest.mark.parametrize("name", ["subvp", "edm", "ot"])
def test_the_error_goes_with_the_tolerance(name: str) -> None:
    schedule, times = EVERY_ODE[name], BOTH_ENDS[name]
    denoise = PAIR.denoiser(schedule)
    x = schedule(times[0])[1] * normal(2, 2)
    (exact,), _ = scipy_ode(denoise, schedule, x, times)
    for tolerance in (1e-5, 1e-6, 1e-7):
        solver = DormandPrince(denoise, schedule, tolerance, tolerance)
        error = (integrate(solver, x, times) - exact).abs().max()
        assert error < 30 * tolerance


def test_times_between_are_interpolated_and_change_nothing() -> None:
    schedule, times = VP(), torch.linspace(1, 1e-3, 40, dtype=torch.float64)
    denoise = Counter(PAIR.denoiser(schedule))
    x = normal(2, 2)
    solver = DormandPrince(denoise, schedule)
    passed = torch.stack(list(path(solver, x, times)))
    rows, denoise.rows = denoise.rows, 0
    directly = integrate(solver, x, times[[0, -1]])
    assert rows == denoise.rows
    torch.testing.assert_close(passed[-1], directly, rtol=1e-12, atol=1e-12)
    exact, _ = scipy_ode(denoise.denoise, schedule, x, times)
    torch.testing.assert_close(passed, exact, rtol=0, atol=0.01)


def test_samples_keep_their_labels_when_others_have_arrived() -> None:
    denoise = Labelled(torch.arange(6.0).double())
    assert isinstance(denoise, Selectable)
    result = integrate(DormandPrince(denoise, VP()), normal(6, 3), f64(1, 1e-4))
    torch.testing.assert_close(result.mean(1), denoise.labels, rtol=0, atol=0.4)


@pytest.mark.parametrize("times", [(0.0, 1.0), (1.0, 0.0), (2.0, 2.0 + 1e-9)])
def test_times_may_rise_and_pass_0(times: tuple[float, float]) -> None:
    rates = f64(1.0, -3.0, 0.0)
    solver = Adaptive(lambda y, t, rows: rates[rows, None] * y, 1e-8, 1e-8, 1000)
    start = normal(3, 2)
    result = integrate(solver, start, f64(*times))
    torch.testing.assert_close(
        result, start * (rates * (times[1] - times[0])).exp()[:, None], rtol=1e-6, atol=1e-6
    )


def test_the_dtype_is_kept() -> None:
    schedule, x = VP(), normal(4, 2)
    denoise = PAIR.denoiser(schedule)
    single = DormandPrince(lambda x, t: denoise(x.double(), t).float(), schedule)
    result = integrate(single, x.float(), f64(1, 1e-3))
    assert result.dtype == torch.float32
    double = integrate(DormandPrince(denoise, schedule), x, f64(1, 1e-3))
    torch.testing.assert_close(result.double(), double, rtol=0, atol=1e-4)


@pytest.mark.parametrize("after", [1.0, 0.5])
def test_a_sample_that_is_lost_is_lost_alone(after: float) -> None:
    """Whose network says NaN, from the start or from some time on."""
    schedule, x, times = VP(), normal(3, 2), f64(1, 1e-3)
    exact = PAIR.denoiser(schedule)

    def broken(x_t: Tensor, t: Tensor) -> Tensor:
        x_0 = exact(x_t, t)
        bad = (t.expand(len(x_t)) <= after) & (x_t[:, 0] > 0)
        return x_0.masked_fill(bad[:, None], torch.nan)

    x[:, 0] = f64(2.0, -2.0, -2.5)
    solver = DormandPrince(broken, schedule)
    result = integrate(solver, x, times)
    lost = (~result.isfinite()).all(1)
    assert lost[0]
    for i in range(3):
        alone = integrate(solver, x[i : i + 1], times)
        torch.testing.assert_close(result[i : i + 1], alone, equal_nan=True)
    assert not lost.all()


def test_too_many_steps_are_an_error_of_one_line() -> None:
    schedule = VP()
    solver = DormandPrince(PAIR.denoiser(schedule), schedule, max_steps=3)
    with pytest.raises(GenbenchError, match=r"not come to t = 0\.001 in 3 steps: raise rtol"):
        integrate(solver, normal(2, 2), f64(1, 1e-3))
