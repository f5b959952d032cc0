"""The diffusions by name: training steps, samplers, evaluations, trajectories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DModel
from diffusions import DIGITS, POINTS, SPECS, TRAINED, build, condition, sample
from torch import Tensor, nn

from baselines.schedules import VE
from genbench import registry
from genbench.api import Batch, Progress, SampleSpec, Variant
from genbench.api.errors import UsageError

Way = tuple[str, dict[str, Any], dict[str, Any]]
WAYS: list[Way] = [
    *(
        ("ddpm", {"timesteps": 30} | options, sampling)
        for options in ({}, {"prediction": "v", "schedule": "cosine"}, {"variance": "learned"})
        for sampling in (
            {},
            {"steps": 7},
            {"steps": 7, "spacing": "linear", "variance": "beta"},
            {"sampler": "ddim", "steps": 5},
            {"sampler": "ddim", "steps": 5, "eta": 0.5},
            {"sampler": "dpm-solver++", "steps": 5},
        )
    ),
    *(
        ("score-sde", {"sde": sde}, sampling)
        for sde in ("vp", "subvp", "ve")
        for sampling in (
            {"steps": 6},
            {"steps": 6, "predictor": "ancestral"},
            {"steps": 6, "corrector": "none"},
            {"sampler": "euler-maruyama", "steps": 6},
            {"sampler": "ode", "steps": 6},
            {"sampler": "rk45", "steps": 2, "tolerance": 1e-2},
            {"sampler": "dpm-solver++", "steps": 6},
        )
    ),
    ("edm", {}, {"steps": 5}),
    ("edm", {}, {"steps": 5, "s_churn": 2.0, "s_min": 0.1, "s_max": 10.0, "s_noise": 1.01}),
    ("edm", {"sigma_data": 1.0}, {"sampler": "dpm-solver++", "steps": 5}),
    *(
        ("flow-matching", {}, {"sampler": sampler, "steps": 4})
        for sampler in ("euler", "midpoint", "heun", "dpm-solver++")
    ),
    ("flow-matching", {}, {"sampler": "rk45", "steps": 2, "tolerance": 1e-2}),
    *(("consistency", {}, {"steps": steps}) for steps in (1, 2, 4)),
]
DETERMINISTIC = [
    way
    for way in WAYS
    if (
        way[2].get("sampler", way[0]) in ("ddim", "ode", "rk45", "edm", "euler", "midpoint", "heun")
        or "dpm" in way[2].get("sampler", "")
    )
    and not {"eta", "s_churn"} & way[2].keys()
]


class Calls:
    """How often a network was called, and with how many rows."""

    def __init__(self, network: nn.Module) -> None:
        self.rows: list[int] = []
        network.register_forward_hook(self.add)

    def add(self, _: Any, inputs: tuple[Tensor, ...], __: Any) -> None:
        self.rows.append(len(inputs[0]))


def checked(model: Any, sampling: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Noise, and three samples of it that are as a sampler promises."""
    assert model.noise_shape == model.spec.shape
    noise = torch.randn(3, *model.noise_shape)
    out = sample(model, noise, sampling)
    assert out.shape == noise.shape
    assert out.dtype == torch.float32
    assert not out.requires_grad
    assert out.isfinite().all()
    return noise, out


@pytest.mark.parametrize(("name", "options", "sampling"), WAYS)
def test_a_trajectory_goes_from_the_noise_to_the_sample(
    name: str, options: dict[str, Any], sampling: dict[str, Any]
) -> None:
    model = build(name, POINTS, options | {"conditional": True})
    noise, out = checked(model, sampling)
    torch.manual_seed(1)
    first, *between, last = model.trajectory(noise, condition(model, 3), **sampling)
    # VE's and EDM's largest noise leaves a little room for data.
    torch.testing.assert_close(first, noise, rtol=0.1, atol=0)
    assert len(between) == sampling.get("steps", 30) - 1
    assert torch.equal(last, out)
    assert not any(x.requires_grad for x in (first, *between, last))


@pytest.mark.parametrize(("name", "options"), TRAINED)
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.modality)
def test_samples_of_any_shape_repeat_with_the_seed(
    name: str, options: dict[str, Any], spec: SampleSpec
) -> None:
    model = build(name, spec, options)
    noise, out = checked(model, {"steps": 3})
    assert torch.equal(sample(model, noise, {"steps": 3}), out)


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


@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize(
    ("name", "sampling", "evaluations"),
    [
        ("ddpm", {}, 30),
        ("ddpm", {"steps": 7}, 7),
        ("ddpm", {"sampler": "ddim", "steps": 5}, 5),
        ("ddpm", {"sampler": "dpm-solver++", "steps": 5}, 5),
        ("score-sde", {"sampler": "euler-maruyama", "steps": 6}, 6),
        ("score-sde", {"steps": 6}, 11),
        ("score-sde", {"corrector": "none", "steps": 6}, 6),
        ("score-sde", {"sampler": "ode", "steps": 6}, 11),
        ("score-sde", {"sampler": "dpm-solver++", "steps": 6}, 6),
        ("edm", {"steps": 6}, 11),
        ("edm", {"steps": 6, "s_churn": 3.0}, 11),
        ("edm", {"sampler": "dpm-solver++", "steps": 6}, 6),
        ("flow-matching", {"sampler": "euler", "steps": 6}, 6),
        ("flow-matching", {"sampler": "midpoint", "steps": 6}, 12),
        ("flow-matching", {"sampler": "heun", "steps": 6}, 12),
        ("flow-matching", {"sampler": "dpm-solver++", "steps": 6}, 6),
    ],
)
def test_network_evaluations(
    name: str, sampling: dict[str, Any], evaluations: int, guidance: float
) -> None:
    options = {"timesteps": 30} if name == "ddpm" else {}
    model = build(name, POINTS, options | {"conditional": True})
    calls = Calls(model.players["denoiser"])
    sample(model, torch.randn(2, 2), sampling | {"guidance": guidance})
    assert calls.rows == [2 if guidance == 1 else 4] * evaluations


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_evaluations_of_a_consistency_model(steps: int) -> None:
    model = build("consistency", POINTS, {"conditional": True})
    calls = Calls(model.players["denoiser"])
    sample(model, torch.randn(2, 2), {"steps": steps})
    assert calls.rows == [2] * steps


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize(("name", "options"), TRAINED)
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.modality)
def test_a_step_of_training(
    name: str, options: dict[str, Any], spec: SampleSpec, conditional: bool
) -> None:
    model = build(name, spec, options | {"conditional": conditional}).train()
    batch = Batch(torch.rand(4, *spec.shape) * 2 - 1, {"label": torch.tensor([0, 4, 2, 2])})
    (turn,) = model.losses(batch, Progress(0, 0, 100))
    turn.loss.backward()
    assert list(model.players) == [turn.player] == ["denoiser"]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert model.conditions == ({"label"} if conditional else set())


@pytest.mark.parametrize(("name", "options"), TRAINED)
def test_a_state_carries_all_that_sampling_needs(name: str, options: dict[str, Any]) -> None:
    model, other = build(name, DIGITS, options), build(name, DIGITS, options)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.05)
    other.load_state_dict(model.state_dict())
    noise = torch.randn(2, 1, 8, 8)
    assert torch.equal(sample(model, noise, {"steps": 5}), sample(other, noise, {"steps": 5}))


@pytest.mark.parametrize(("name", "options"), [way for way in TRAINED if way[0] != "consistency"])
def test_guidance_needs_labels_and_matters(name: str, options: dict[str, Any]) -> None:
    noise = torch.randn(3, 2)
    model = build(name, POINTS, options | {"conditional": True})
    plain, guided = (sample(model, noise, {"steps": 5, "guidance": g}) for g in (1.0, 3.0))
    assert torch.equal(plain, sample(model, noise, {"steps": 5}))
    assert not torch.allclose(plain, guided)
    with pytest.raises(UsageError, match="guidance needs a model that was trained with condition"):
        sample(build(name, POINTS, options), noise, {"steps": 5, "guidance": 3.0})


def test_labels_matter() -> None:
    for name, options in TRAINED:
        model = build(name, POINTS, options | {"conditional": True})
        noise = torch.randn(1, 2)
        one, other = (
            model.sample(noise, {"label": torch.tensor([label])}, steps=1) for label in (0, 1)
        )
        assert not torch.equal(one, other), name


@pytest.mark.parametrize(
    ("name", "options"), [way for way in TRAINED if way[0] not in ("ddpm", "consistency")]
)
@pytest.mark.parametrize("spec", [DIGITS, POINTS], ids=lambda spec: spec.modality)
def test_bits_per_dim_of_a_model_in_continuous_time(
    name: str, options: dict[str, Any], spec: SampleSpec
) -> None:
    model = build(name, spec, options | {"conditional": True})
    stored = torch.randint(17, (2, *spec.shape)).byte() if spec.levels else torch.randn(2, 2)
    batch = Batch(stored, condition(model, 2))
    bits = model.bits_per_dim(batch, tolerance=0.1)
    assert bits.shape == (2,)
    assert bits.isfinite().all()


def test_others_have_no_likelihood() -> None:
    for name in ("ddpm", "consistency"):
        assert not hasattr(build(name, POINTS, {}), "bits_per_dim")


def test_ddim_is_a_way_to_sample_ddpm() -> None:
    ddim = registry.models.get("ddim")
    assert isinstance(ddim, Variant)
    assert ddim.trains == "ddpm"
    model = build(ddim.trains, DIGITS, {"timesteps": 60})
    calls = Calls(model.players["denoiser"])
    sample(model, torch.randn(1, 1, 8, 8), dict(ddim.sample))
    assert len(calls.rows) == 50


def test_clipping_holds_every_sample_in_range() -> None:
    model = build("ddpm", DIGITS, {"timesteps": 30})
    noise = 3 * torch.randn(4, 1, 8, 8)
    assert sample(model, noise, {"steps": 5}).abs().amax((1, 2, 3)).min() > 1
    assert sample(model, noise, {"steps": 5, "clip_denoised": True}).abs().max() <= 1


class Nothing:
    """A denoiser that says 0, and keeps what it was asked."""

    def __init__(self) -> None:
        self.x: list[Tensor] = []
        self.times: list[float] = []

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        self.x.append(x_t)
        self.times.append(float(t))
        return torch.zeros_like(x_t)


def seen(model: Any, sampling: dict[str, Any]) -> Nothing:
    denoise = Nothing()
    model.denoiser = lambda *_, **__: denoise
    sample(model, torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)), sampling)
    return denoise


@pytest.mark.parametrize("sampler", ["ancestral", "ddim"])
def test_spacing_of_ddpms_timesteps(sampler: str) -> None:
    model = build("ddpm", DIGITS, {"timesteps": 100})
    few = {"sampler": sampler, "steps": 5}
    assert seen(model, few).times == [100, 64, 36, 16, 4]
    assert seen(model, few | {"spacing": "linear"}).times == [100, 80, 60, 40, 20]
    assert seen(model, {"sampler": sampler}).times == list(range(100, 0, -1))


def test_times_of_score_sde() -> None:
    sampling = {"sampler": "euler-maruyama", "steps": 3}
    middle = ((1 + 1e-3**0.5) / 2) ** 2
    for sde in ("vp", "subvp"):
        model = build("score-sde", DIGITS, {"sde": sde})
        assert seen(model, sampling).times == pytest.approx([1, middle, 1e-3])
    model = build("score-sde", DIGITS, {"sde": "ve"})
    assert seen(model, sampling).times == pytest.approx([1, (1 + 1e-5) / 2, 1e-5])


def test_levels_of_edm() -> None:
    # Karras et al. 2022, eq. 5, for three steps: Heun looks twice at each but the first and last.
    middle = ((80 ** (1 / 7) + 0.002 ** (1 / 7)) / 2) ** 7
    times = seen(build("edm", DIGITS, {}), {"steps": 3}).times
    assert times == pytest.approx([80, middle, middle, 0.002, 0.002])


def test_times_of_flow_matching() -> None:
    model = build("flow-matching", DIGITS, {})
    assert seen(model, {"sampler": "euler", "steps": 4}).times == [1, 0.75, 0.5, 0.25]
    midway = seen(model, {"sampler": "midpoint", "steps": 2}).times
    assert midway == [1, 0.75, 0.5, 0.25]


def test_eta_adds_noise_to_ddim() -> None:
    model = build("ddpm", DIGITS, {"timesteps": 30})
    noise = torch.randn(2, 1, 8, 8)
    ddim = {"sampler": "ddim", "steps": 5}
    still, noisy = (sample(model, noise, ddim | {"eta": eta}) for eta in (0.0, 1.0))
    assert torch.equal(still, sample(model, noise, ddim))
    assert not torch.allclose(still, noisy)
    # The generator stands where it stood, and eq. 16 of DDIM with η = 1 is DDPM's posterior.
    torch.testing.assert_close(noisy, sample(model, noise, {"steps": 5}), rtol=1e-3, atol=1e-3)


def test_variances_of_the_ancestral_sampler() -> None:
    """From the network alone where it says them, from β̃ where it does not."""
    noise = torch.randn(2, 1, 8, 8)
    fixed, learned = (
        build("ddpm", DIGITS, {"timesteps": 30, "variance": variance})
        for variance in ("fixed", "learned")
    )

    def draw(model: Any, variance: str | None) -> Tensor:
        return sample(model, noise, {"steps": 5, "variance": variance})

    assert torch.equal(draw(fixed, None), draw(fixed, "posterior"))
    assert not torch.allclose(draw(fixed, None), draw(fixed, "beta"))
    assert torch.equal(draw(learned, None), draw(learned, "learned"))
    assert not torch.allclose(draw(learned, None), draw(learned, "posterior"))
    assert not torch.allclose(draw(learned, None), draw(learned, "beta"))


@pytest.mark.parametrize(("value", "variance"), [(-1.0, "posterior"), (1.0, "beta")])
def test_a_learned_variance_at_its_ends_is_a_fixed_one(value: float, variance: str) -> None:
    model = build("ddpm", POINTS, {"timesteps": 30, "variance": "learned"})
    network = model.players["denoiser"]
    with torch.no_grad():
        network.out.weight[2:] = 0
        network.out.bias[2:] = value
    noise = torch.randn(3, 2)
    learned = sample(model, noise, {"steps": 10})
    torch.testing.assert_close(learned, sample(model, noise, {"steps": 10, "variance": variance}))


@pytest.mark.parametrize(("sde", "posterior"), [("vp", False), ("subvp", True), ("ve", True)])
def test_variances_of_the_ancestral_predictor(sde: str, posterior: bool) -> None:
    # Song et al. 2021: β in eq. 4, for VP; that of the posterior in eq. 47, for VE.
    model = build("score-sde", POINTS, {"sde": sde})
    model.denoiser = lambda *_, **__: Nothing()
    torch.manual_seed(0)
    way = {"steps": 2, "predictor": "ancestral", "corrector": "none"}
    (_, t), (x, s), _ = model.path(torch.zeros(4, 2), {}, **way)
    (alpha_s, sigma_s), (alpha_t, sigma_t) = model.schedule(s), model.schedule(t)
    variance = sigma_t**2 - (alpha_t / alpha_s * sigma_s) ** 2
    if posterior:
        variance *= (sigma_s / sigma_t) ** 2
    torch.manual_seed(0)
    torch.testing.assert_close(x, variance.sqrt().float() * torch.randn(4, 2))


@pytest.mark.parametrize(("name", "options"), [("score-sde", {"sde": "ve"}), ("edm", {})])
def test_sampling_starts_from_noise_of_the_schedules_scale(
    name: str, options: dict[str, Any]
) -> None:
    model = build(name, DIGITS, options)
    first, *_ = seen(model, {"steps": 5, "sampler": "dpm-solver++"}).x
    noise = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(first, model.schedule.sigma_max * noise)


def test_the_largest_noise_of_ve_is_an_option() -> None:
    schedule = build("score-sde", DIGITS, {"sde": "ve", "sigma_max": 40.0}).schedule
    assert schedule == VE(0.01, 40.0)


def test_ncsnpp_is_told_the_logarithm_of_sigma() -> None:
    """Under VE, as its authors do; every other network is told the time."""
    options = {"sde": "ve", "sigma_max": 40.0, "channels": 32, "multipliers": [1]}
    told = build("score-sde", DIGITS, {**options, "network": "ncsnpp"}).schedule
    t = torch.tensor([0.25, 1.0])
    sigma = 0.01 * (40.0 / 0.01) ** t
    torch.testing.assert_close(told.noise_label(t), sigma.log())
    torch.testing.assert_close(build("score-sde", DIGITS, options).schedule.noise_label(t), t)


@pytest.mark.parametrize(("spec", "largest"), [(DIGITS, 16.0), (POINTS, 8**0.5)])
def test_ve_noise_spans_the_longest_distance_in_the_cube(spec: SampleSpec, largest: float) -> None:
    schedule = build("score-sde", spec, {"sde": "ve"}).schedule
    assert schedule.sigma_max == pytest.approx(largest)


@torch.no_grad()
def test_published_weights_predict_as_diffusers_have_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(32, 32),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    ).eval()
    theirs.save_pretrained(tmp_path)
    factory = registry.models.get("ddpm")
    options = registry.check_options("ddpm", factory, {"pretrained": str(tmp_path)})
    model: Any = registry.call(factory, DIGITS, **options)
    assert model.pretrained
    x_t = torch.randn(3, 1, 8, 8)
    t = torch.tensor([1, 500, 1000])
    expected = theirs(x_t, t - 1).sample
    assert expected.abs().max() > 0.1
    predicted = model.eval().denoiser({}).predict(x_t, t)
    torch.testing.assert_close(predicted, expected, rtol=1e-4, atol=1e-4)
    assert not build("ddpm", DIGITS, {}).pretrained
    with pytest.raises(UsageError, match="channels = 8 is an option of a network that is trained"):
        registry.call(factory, DIGITS, **{**options, "channels": 8})
