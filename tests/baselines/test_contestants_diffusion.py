"""ddpm, ddim and score-sde as the harness meets them: by name, with options from a file."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from baselines.schedules import VE
from genbench import registry
from genbench.errors import UsageError
from genbench.types import Batch, GenerativeModel, Progress, SampleSpec, Variant

DIGITS = SampleSpec("image", (1, 8, 8), levels=17)
POINTS = SampleSpec("points", (2,), levels=None)
SPECS = [DIGITS, POINTS, SampleSpec("audio", (1, 16)), SampleSpec("video", (3, 4, 4, 4))]
WAYS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("ddpm", {"timesteps": 30}, {}),
    ("ddpm", {"timesteps": 30}, {"steps": 7}),
    ("ddpm", {"timesteps": 30}, {"steps": 7, "spacing": "linear"}),
    ("ddpm", {"timesteps": 30}, {"sampler": "ddim", "steps": 5}),
    ("ddpm", {"timesteps": 30}, {"sampler": "ddim", "steps": 5, "eta": 0.5}),
    *(
        ("score-sde", {"sde": sde}, {"sampler": sampler, "steps": 6})
        for sde in ("vp", "subvp", "ve")
        for sampler in ("euler-maruyama", "predictor-corrector", "ode")
    ),
]
DETERMINISTIC = [
    way for way in WAYS if way[2].get("sampler") in ("ddim", "ode") and "eta" not in way[2]
]


def build(name: str, spec: SampleSpec, options: dict[str, Any]) -> Any:
    factory = registry.models.get(name)
    torch.manual_seed(0)
    model = factory(spec, **registry.check_options(name, factory, {"channels": 4} | options))
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.02)
    return model.eval()


def sample(model: GenerativeModel, noise: Tensor, options: dict[str, Any]) -> Tensor:
    torch.manual_seed(1)
    return model.sample(noise, {}, **registry.check_options("sample", model.sample, options))


class Calls:
    """How often a network was called."""

    def __init__(self, network: nn.Module) -> None:
        self.count = 0
        network.register_forward_hook(self.add)

    def add(self, *_: Any) -> None:
        self.count += 1


@pytest.mark.parametrize(("name", "options", "sampling"), WAYS)
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.modality)
def test_samples_are_finite_and_repeat_with_the_seed(
    name: str, options: dict[str, Any], sampling: dict[str, Any], spec: SampleSpec
) -> None:
    model: GenerativeModel = build(name, spec, options)
    assert model.noise_shape == spec.shape
    noise = torch.randn(3, *spec.shape)
    out = sample(model, noise, sampling)
    assert out.shape == (3, *spec.shape)
    assert out.dtype == torch.float32
    assert not out.requires_grad
    assert out.isfinite().all()
    assert torch.equal(sample(model, noise, sampling), out)


@pytest.mark.parametrize(("name", "options", "sampling"), DETERMINISTIC)
def test_a_sample_alone_equals_the_same_among_others(
    name: str, options: dict[str, Any], sampling: dict[str, Any]
) -> None:
    model = build(name, DIGITS, options)
    noise = torch.randn(4, 1, 8, 8)
    together = sample(model, noise, sampling)
    torch.testing.assert_close(
        sample(model, noise[2:3], sampling), together[2:3], rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize(
    ("name", "sampling", "evaluations"),
    [
        ("ddpm", {}, 30),
        ("ddpm", {"steps": 7}, 7),
        ("ddpm", {"sampler": "ddim", "steps": 5}, 5),
        ("score-sde", {"sampler": "euler-maruyama", "steps": 6}, 6),
        ("score-sde", {"sampler": "predictor-corrector", "steps": 6}, 11),
        ("score-sde", {"sampler": "ode", "steps": 6}, 11),
    ],
)
def test_network_evaluations(name: str, sampling: dict[str, Any], evaluations: int) -> None:
    model = build(name, DIGITS, {"timesteps": 30} if name == "ddpm" else {})
    calls = Calls(model.players["denoiser"])
    sample(model, torch.randn(2, 1, 8, 8), sampling)
    assert calls.count == evaluations


@pytest.mark.parametrize("name", ["ddpm", "score-sde"])
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.modality)
def test_a_step_of_training(name: str, spec: SampleSpec) -> None:
    model = build(name, spec, {}).train()
    (turn,) = model.losses(Batch(torch.rand(4, *spec.shape) * 2 - 1), Progress(0, 0, 100))
    turn.loss.backward()
    assert list(model.players) == [turn.player] == ["denoiser"]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", ["ddpm", "score-sde"])
def test_a_state_carries_all_that_sampling_needs(name: str) -> None:
    model, other = build(name, DIGITS, {}), build(name, DIGITS, {})
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.05)
    other.load_state_dict(model.state_dict())
    noise = torch.randn(2, 1, 8, 8)
    assert torch.equal(sample(model, noise, {"steps": 5}), sample(other, noise, {"steps": 5}))


def test_ddim_is_a_way_to_sample_ddpm() -> None:
    ddim = registry.models.get("ddim")
    assert isinstance(ddim, Variant)
    assert ddim.trains == "ddpm"
    model = build(ddim.trains, DIGITS, {"timesteps": 60})
    calls = Calls(model.players["denoiser"])
    sample(model, torch.randn(1, 1, 8, 8), dict(ddim.sample))
    assert calls.count == 50


def test_clipping_holds_every_sample_in_range() -> None:
    model = build("ddpm", DIGITS, {"timesteps": 30})
    noise = 3 * torch.randn(4, 1, 8, 8)
    assert sample(model, noise, {"steps": 5}).abs().amax((1, 2, 3)).min() > 1
    assert sample(model, noise, {"steps": 5, "clip_denoised": True}).abs().max() <= 1


def times_seen(model: Any, sampling: dict[str, Any]) -> list[float]:
    """At which times sampling evaluates a denoiser that says 0."""
    seen: list[float] = []
    model.denoiser = lambda **_: lambda x_t, t: seen.append(float(t)) or torch.zeros_like(x_t)
    sample(model, torch.randn(2, 1, 8, 8), sampling)
    return seen


@pytest.mark.parametrize("sampler", ["ancestral", "ddim"])
def test_spacing_of_ddpms_timesteps(sampler: str) -> None:
    model = build("ddpm", DIGITS, {"timesteps": 100})
    few = {"sampler": sampler, "steps": 5}
    assert times_seen(model, few) == [100, 64, 36, 16, 4]
    assert times_seen(model, few | {"spacing": "linear"}) == [100, 80, 60, 40, 20]
    assert times_seen(model, {"sampler": sampler}) == list(range(100, 0, -1))


def test_times_of_score_sde() -> None:
    sampling = {"sampler": "euler-maruyama", "steps": 3}
    middle = ((1 + 1e-3**0.5) / 2) ** 2
    for sde in ("vp", "subvp"):
        model = build("score-sde", DIGITS, {"sde": sde})
        assert times_seen(model, sampling) == pytest.approx([1, middle, 1e-3])
    model = build("score-sde", DIGITS, {"sde": "ve"})
    assert times_seen(model, sampling) == pytest.approx([1, (1 + 1e-5) / 2, 1e-5])


def test_eta_adds_noise_to_ddim() -> None:
    model = build("ddpm", DIGITS, {"timesteps": 30})
    noise = torch.randn(2, 1, 8, 8)
    ddim = {"sampler": "ddim", "steps": 5}
    still, noisy = (sample(model, noise, ddim | {"eta": eta}) for eta in (0.0, 1.0))
    assert torch.equal(still, sample(model, noise, ddim))
    assert not torch.allclose(still, noisy)
    # The generator stands where it stood, and eq. 16 of DDIM with η = 1 is DDPM's posterior.
    torch.testing.assert_close(noisy, sample(model, noise, {"steps": 5}), rtol=1e-3, atol=1e-3)


def test_ve_starts_from_noise_of_its_own_scale() -> None:
    model = build("score-sde", DIGITS, {"sde": "ve", "sigma_max": 40.0})
    assert model.schedule == VE(0.01, 40.0)
    seen: list[Tensor] = []
    model.denoiser = lambda **_: lambda x_t, t: seen.append(x_t) or torch.zeros_like(x_t)
    noise = torch.randn(2, 1, 8, 8)
    sample(model, noise, {"sampler": "ode", "steps": 5})
    torch.testing.assert_close(seen[0], 40 * noise)


@pytest.mark.parametrize(("spec", "largest"), [(DIGITS, 16.0), (POINTS, 8**0.5)])
def test_ve_noise_spans_the_longest_distance_in_the_cube(spec: SampleSpec, largest: float) -> None:
    schedule = build("score-sde", spec, {"sde": "ve"}).schedule
    assert schedule.sigma_max == pytest.approx(largest)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ddpm", {"timesteps": 20}, "'timesteps': input should be greater than or equal to 21"),
        ("ddpm", {"channels": 0}, "'channels': input should be greater than 0"),
        ("ddpm", {"multipliers": []}, "'multipliers': .* at least 1 item"),
        ("ddpm", {"dropout": 1.0}, "'dropout': input should be less than 1"),
        ("ddpm", {"chanels": 8}, "no option 'chanels'; did you mean 'channels'"),
        ("score-sde", {"sde": "vpp"}, "'sde': input should be 'vp', 'subvp' or 've'"),
        ("score-sde", {"sigma_max": 4.0}, "sigma_max belongs to sde 've', not to 'vp'"),
        ("score-sde", {"learning_rate": 0.0}, "'learning_rate': input should be greater than 0"),
    ],
)
def test_wrong_options_are_told_in_a_line(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(name, DIGITS, options)


@pytest.mark.parametrize(
    ("name", "spec", "sampling", "message"),
    [
        ("ddpm", DIGITS, {"steps": 31}, "steps must be at most the model's 30 timesteps, got 31"),
        ("ddpm", DIGITS, {"steps": 0}, "'steps': input should be greater than 0"),
        ("ddpm", DIGITS, {"eta": 0.5}, "eta belongs to sampler 'ddim', not to 'ancestral'"),
        ("ddpm", DIGITS, {"sampler": "ddmp"}, "'sampler': input should be 'ancestral' or 'ddim'"),
        ("ddpm", DIGITS, {"sampler": "ddim", "eta": 1.5}, "'eta': input should be less than or"),
        ("ddpm", POINTS, {"clip_denoised": True}, "clip_denoised needs data in .-1, 1."),
        ("score-sde", DIGITS, {"sampler": "ode", "snr": 0.1}, "snr belongs to sampler 'predictor"),
        ("score-sde", DIGITS, {"snr": -0.1}, "'snr': input should be greater than 0"),
    ],
)
def test_wrong_sampling_options_are_told_in_a_line(
    name: str, spec: SampleSpec, sampling: dict[str, Any], message: str
) -> None:
    model = build(name, spec, {"timesteps": 30} if name == "ddpm" else {})
    with pytest.raises(UsageError, match=message):
        sample(model, torch.randn(1, *spec.shape), sampling)
