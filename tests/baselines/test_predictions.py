"""What networks predict, against the papers' tables, diffusers and the algebra of a known pair."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler, EDMEulerScheduler
from torch import Tensor

from baselines.denoisers import NetworkDenoiser
from baselines.denoisers import velocity as velocity_of
from baselines.diffusion import diffuse
from baselines.predictions import CLEAN, EPSILON, Prediction, V, edm, min_snr, velocity
from baselines.schedules import (
    VE,
    VP,
    CosineBetas,
    LinearBetas,
    NoiseLevels,
    OptimalTransport,
    Schedule,
    SubVP,
)

FLOW = OptimalTransport(1e-3)
PREDICTIONS: dict[str, Prediction] = {
    "epsilon": EPSILON,
    "x0": CLEAN,
    "v": V,
    "velocity": velocity(FLOW.sigma_min),
    "edm": edm(0.5),
}
SCHEDULES = [
    VP(),
    SubVP(),
    VE(0.01, 50.0),
    LinearBetas(100),
    CosineBetas(100),
    FLOW,
    NoiseLevels(),
]
PAIRS = [
    pytest.param(prediction, schedule, id=f"{name}, {type(schedule).__name__}")
    for name, prediction in PREDICTIONS.items()
    for schedule in SCHEDULES
    # A velocity is that of straight paths; elsewhere it is no target.
    if name != "velocity" or schedule is FLOW
]
SIGMAS = torch.tensor([0.002, 0.1, 0.5, 3.0, 80.0], dtype=torch.float64)


def times(schedule: Schedule) -> Tensor:
    """Three of them, one a sample."""
    return schedule.at(torch.tensor([0.1, 0.5, 0.97], dtype=torch.float64))


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    """x_0 and ε, of three samples."""
    generator = torch.Generator().manual_seed(0)
    x_0, noise = torch.randn(2, 3, 2, 4, dtype=torch.float64, generator=generator)
    return x_0, noise


def exact(
    prediction: Prediction, schedule: Schedule, pair: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Times, x_t there, and what the network should answer."""
    t = times(schedule)
    x_0, noise = pair
    return t, diffuse(schedule, x_0, t, noise), prediction.target(schedule, x_0, noise, t)


@pytest.mark.parametrize(("prediction", "schedule"), PAIRS)
def test_the_exact_answer_gives_the_clean_sample(
    prediction: Prediction, schedule: Schedule, pair: tuple[Tensor, Tensor]
) -> None:
    t, x_t, answer = exact(prediction, schedule, pair)
    torch.testing.assert_close(prediction.denoised(schedule, answer, x_t, t), pair[0])


@pytest.mark.parametrize(("prediction", "schedule"), PAIRS)
def test_the_exact_network_is_the_exact_denoiser(
    prediction: Prediction, schedule: Schedule
) -> None:
    # For x_0 ~ N(0.3, 0.5²), E[x_0 | x_t] and E[ε | x_t] are affine, and so is E[F* | x_t].
    t = times(schedule)
    alpha, sigma = (c[:, None] for c in schedule(t))
    off = torch.linspace(-3, 3, 20, dtype=torch.float64)
    variance = (0.5 * alpha) ** 2 + sigma**2
    clean = 0.3 + 0.25 * alpha / variance * off
    noise = sigma / variance * off
    a, b = (c[:, None] for c in prediction.coefficients(*schedule(t)))

    def network(x: Tensor, time: Tensor) -> Tensor:
        return a * clean + b * noise

    denoise = NetworkDenoiser(network, schedule, prediction)
    torch.testing.assert_close(denoise(0.3 * alpha + off, t), clean)


@pytest.mark.parametrize(("prediction", "schedule"), PAIRS)
def test_errors_in_x_0_are_c_out_times_those_of_the_network(
    prediction: Prediction, schedule: Schedule, pair: tuple[Tensor, Tensor]
) -> None:
    x_t, output = pair
    t = times(schedule)
    off = prediction.denoised(schedule, output + 1, x_t, t)
    off -= prediction.denoised(schedule, output, x_t, t)
    c_out = prediction.c_out(*schedule(t)).view(3, 1, 1)
    torch.testing.assert_close(off, c_out.expand_as(off))


@pytest.mark.parametrize(("prediction", "schedule"), PAIRS)
def test_every_mixture_of_x_0_and_noise_is_affine_in_the_answer(
    prediction: Prediction, schedule: Schedule, pair: tuple[Tensor, Tensor]
) -> None:
    t, x_t, answer = exact(prediction, schedule, pair)
    p, q = torch.randn(2, 3, dtype=torch.float64)
    of_x_t, of_answer = (c.view(3, 1, 1) for c in prediction.shares(schedule, t, p, q))
    x_0, noise = pair
    mixture = p.view(3, 1, 1) * x_0 + q.view(3, 1, 1) * noise
    torch.testing.assert_close(of_x_t * x_t + of_answer * answer, mixture)


def test_a_velocity_is_its_answer_to_the_last_bit() -> None:
    """Lipman et al. 2023, eq. 23, whose time is ours from the other end."""
    answer, x_t = torch.randn(2, 5, 3)
    for paths in (FLOW, OptimalTransport()):
        denoise = NetworkDenoiser(lambda x, time: answer, paths, velocity(paths.sigma_min))
        for t in torch.tensor([1.0, 0.3, 1e-5, 0.0], dtype=torch.float64):
            assert torch.equal(velocity_of(denoise, paths, x_t, t), answer)
            assert torch.equal(velocity_of(denoise, paths, x_t, t.expand(5)), answer)


@pytest.mark.parametrize("sigma_data", [0.5, 1.0, 2.0])
def test_edm_is_table_1_of_its_paper(sigma_data: float) -> None:
    schedule, prediction = NoiseLevels(), edm(sigma_data)
    sigma = SIGMAS
    norm = (sigma**2 + sigma_data**2).sqrt()
    zero, one = torch.zeros(5, 1).double(), torch.ones(5, 1).double()
    c_skip = prediction.denoised(schedule, zero, one, sigma)[:, 0]
    c_out = prediction.denoised(schedule, one, zero, sigma)[:, 0]
    torch.testing.assert_close(c_skip, sigma_data**2 / norm**2)
    torch.testing.assert_close(c_out, sigma * sigma_data / norm)
    torch.testing.assert_close(prediction.c_in(*schedule(sigma)), 1 / norm)
    torch.testing.assert_close(schedule.noise_label(sigma), sigma.log() / 4)


def test_edm_is_diffusers_preconditioning(pair: tuple[Tensor, Tensor]) -> None:
    theirs = EDMEulerScheduler(sigma_data=0.5)
    x_t, output = (x.float() for x in pair)
    for sigma in SIGMAS:
        expected = theirs.precondition_outputs(x_t, output, sigma.float())
        result = edm(0.5).denoised(NoiseLevels(), output, x_t, sigma)
        torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)


def test_edms_loss_weight_is_1_over_c_out_squared() -> None:
    # λ(σ) = (σ² + σ_data²)/(σ σ_data)² (Karras et al. 2022, table 1).
    weight = (SIGMAS**2 + 0.5**2) / (SIGMAS * 0.5) ** 2
    c_out = edm(0.5).c_out(torch.ones_like(SIGMAS), SIGMAS)
    torch.testing.assert_close(c_out**-2, weight)


def test_edms_inputs_and_targets_have_unit_variance() -> None:
    torch.manual_seed(0)
    schedule, prediction = NoiseLevels(), edm(0.3)
    x_0, noise = 0.3 * torch.randn(5, 20_000).double(), torch.randn(5, 20_000).double()
    target = prediction.target(schedule, x_0, noise, SIGMAS)
    seen = prediction.c_in(*schedule(SIGMAS))[:, None] * diffuse(schedule, x_0, SIGMAS, noise)
    for x in (target, seen):
        torch.testing.assert_close(x.std(1), torch.ones(5).double(), rtol=0.025, atol=0)


@pytest.mark.parametrize("schedule", [LinearBetas(100), VP(), NoiseLevels()])
def test_epsilon_is_the_column_of_vp_and_ve_in_edms_table_1(schedule: Schedule) -> None:
    # Of x_t/alpha_t, at the noise level σ = sigma_t/alpha_t: c_skip = 1, c_out = -σ.
    t = times(schedule)
    alpha, sigma = schedule(t)
    zero, one = torch.zeros(3, 1).double(), torch.ones(3, 1).double()
    scaled = alpha[:, None]
    torch.testing.assert_close(EPSILON.denoised(schedule, zero, scaled, t), one)
    c_out = EPSILON.denoised(schedule, one, zero, t)[:, 0]
    torch.testing.assert_close(c_out, -sigma / alpha)


def test_v_is_edm_for_data_of_unit_variance(pair: tuple[Tensor, Tensor]) -> None:
    t = times(VP())
    torch.testing.assert_close(V.target(VP(), *pair, t), -edm(1.0).target(VP(), *pair, t))


def test_v_is_the_velocity_on_the_circle() -> None:
    # Where alpha = cos φ and sigma = sin φ, v = dx_t/dφ (Salimans & Ho 2022, appendix D).
    schedule = VP()
    t = torch.tensor(0.4, dtype=torch.float64)
    alpha, sigma = schedule(t)
    angle = torch.atan2(sigma, alpha)
    x_0, noise = torch.tensor([[2.0]]).double(), torch.tensor([[-1.0]]).double()
    step = 1e-6
    ahead, behind = ((angle + h).cos() * x_0 + (angle + h).sin() * noise for h in (step, -step))
    torch.testing.assert_close(V.target(schedule, x_0, noise, t), (ahead - behind) / (2 * step))


def test_a_velocity_is_the_derivative_of_its_path(pair: tuple[Tensor, Tensor]) -> None:
    x_0, noise = pair
    t = times(FLOW)
    ahead, behind = (diffuse(FLOW, x_0, t + h, noise) for h in (1e-4, -1e-4))
    target = velocity(FLOW.sigma_min).target(FLOW, x_0, noise, t)
    torch.testing.assert_close(target, (ahead - behind) / 2e-4)


@pytest.mark.parametrize(
    ("prediction", "name"), [(EPSILON, "epsilon"), (CLEAN, "sample"), (V, "v_prediction")]
)
@pytest.mark.parametrize(
    ("schedule", "betas"),
    [(LinearBetas(1000), "linear"), (CosineBetas(1000), "squaredcos_cap_v2")],
)
def test_denoised_samples_are_those_of_diffusers(
    prediction: Prediction,
    name: str,
    schedule: Schedule,
    betas: str,
    pair: tuple[Tensor, Tensor],
) -> None:
    how: dict[str, Any] = {"prediction_type": name, "beta_schedule": betas, "clip_sample": False}
    theirs = DDPMScheduler(1000, **how)
    x_t, output = (x.float() for x in pair)
    for t in (1, 10, 500, 950):
        expected = theirs.step(output, t - 1, x_t, torch.Generator()).pred_original_sample
        result = prediction.denoised(schedule, output, x_t, torch.tensor(t))
        torch.testing.assert_close(result, expected, rtol=2e-4, atol=2e-4)


def test_v_is_diffusers_velocity(pair: tuple[Tensor, Tensor]) -> None:
    x_0, noise = (x.float() for x in pair)
    t = torch.tensor([1, 300, 1000])
    expected = DDPMScheduler(1000).get_velocity(x_0, noise, t - 1)
    target = V.target(LinearBetas(1000), x_0, noise, t)
    torch.testing.assert_close(target, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("schedule", [LinearBetas(1000), CosineBetas(1000), VP()])
def test_min_snr_has_each_predictions_own_form(schedule: Schedule) -> None:
    # Hang et al. 2023, section 3.4, and their released code, with γ = 5.
    t = schedule.at(torch.linspace(0.001, 1, 50, dtype=torch.float64))
    alpha, sigma = schedule(t)
    snr = alpha**2 / sigma**2
    assert snr.min() < 1 < 5 < snr.max()
    held = snr.clamp_max(5)
    torch.testing.assert_close(min_snr(CLEAN, schedule, t), held)
    torch.testing.assert_close(min_snr(EPSILON, schedule, t), held / snr)
    torch.testing.assert_close(min_snr(V, schedule, t), held / (snr + 1))
