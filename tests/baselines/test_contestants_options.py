"""Wrong options of the diffusions, told in a line."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusions import DIGITS, POINTS, TRAINED, build, sample

from genbench.api import SampleSpec
from genbench.api.errors import UsageError


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ddpm", {"timesteps": 20}, "'timesteps': input should be greater than or equal to 21"),
        ("ddpm", {"channels": 0}, "'channels': input should be greater than 0"),
        ("ddpm", {"multipliers": []}, "'multipliers': .* at least 1 item"),
        ("ddpm", {"dropout": 1.0}, "'dropout': input should be less than 1"),
        ("ddpm", {"chanels": 8}, "no option 'chanels'; did you mean 'channels'"),
        ("ddpm", {"schedule": "sigmoid"}, "'schedule': input should be 'linear' or 'cosine'"),
        ("ddpm", {"prediction": "eps"}, "'prediction': input should be 'epsilon', 'x0' or 'v'"),
        ("ddpm", {"variance": "beta"}, "'variance': input should be 'fixed' or 'learned'"),
        ("ddpm", {"pretrained": "nowhere"}, "no folder 'nowhere' of pretrained weights"),
        ("ddpm", {"label_dropout": 1.5}, "'label_dropout': input should be less than or equal"),
        ("ddpm", {"decay": "step"}, "'decay': input should be 'cosine', 'linear' or 'none'"),
        ("ddpm", {"warmup": 0}, "'warmup': input should be greater than 0"),
        ("ddpm", {"beta2": 1.0}, "'beta2': input should be less than 1"),
        ("score-sde", {"sde": "vpp"}, "'sde': input should be 'vp', 'subvp' or 've'"),
        ("score-sde", {"sigma_max": 4.0}, "sigma_max belongs to sde 've', not to 'vp'"),
        ("score-sde", {"learning_rate": 0.0}, "'learning_rate': input should be greater than 0"),
        ("edm", {"sigma_data": 0.0}, "'sigma_data': input should be greater than 0"),
        ("consistency", {"intervals": [20, 10]}, "intervals must not fall, got 20 and then 10"),
        ("consistency", {"label_dropout": 0.1}, "no option 'label_dropout'"),
    ],
)
def test_wrong_options_are_told_in_a_line(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(name, DIGITS, options)


@pytest.mark.parametrize("name", ["score-sde", "flow-matching"])
def test_the_network_may_see_its_input_as_it_is(name: str) -> None:
    """1.4 to 0.01 times as large is what it sees otherwise."""
    options = {"sde": "ve", "sigma_max": 50.0} if name == "score-sde" else {}
    seen = []
    for scaled in (True, False):
        model = build(name, POINTS, options | {"scale_input": scaled})
        model.players["denoiser"].register_forward_pre_hook(
            lambda _, inputs: seen.append(inputs[0])
        )
        model.denoiser({}).predict(torch.ones(3, 2), torch.tensor([1.0, 0.5, 0.1]).double())
    alpha, sigma = model.schedule(torch.tensor([1.0, 0.5, 0.1]).double())
    assert torch.equal(seen[1], torch.ones(3, 2))
    expected = (alpha**2 + sigma**2).rsqrt()[:, None].expand(3, 2).float()
    torch.testing.assert_close(seen[0], expected)


def test_the_loss_may_be_half_the_sum_of_a_sample_s_errors() -> None:
    """Song et al. 2021's code, ``reduce_mean = False``."""
    x, t = torch.randn(4, 1, 8, 8), torch.tensor([0.2, 0.4, 0.6, 0.8]).double()
    mean, half_sum = (
        build("score-sde", DIGITS, {"sde": "ve", "loss": loss}).loss(x, x, x, 2 * x, t)
        for loss in ("mean", "sum")
    )
    torch.testing.assert_close(mean, x.square().mean())
    torch.testing.assert_close(half_sum, x.square().flatten(1).sum(1).mean() / 2)


def test_data_without_labels_is_told_in_a_line() -> None:
    for name, options in TRAINED:
        with pytest.raises(UsageError, match="this data has no labels"):
            build(name, SampleSpec("points", (2,), None), options | {"conditional": True})


@pytest.mark.parametrize(
    ("name", "spec", "sampling", "message"),
    [
        ("ddpm", DIGITS, {"steps": 31}, "steps must be at most the model's 30 timesteps, got 31"),
        ("ddpm", DIGITS, {"steps": 0}, "'steps': input should be greater than 0"),
        ("ddpm", DIGITS, {"eta": 0.5}, "eta belongs to sampler 'ddim', not to 'ancestral'"),
        ("ddpm", DIGITS, {"sampler": "ddmp"}, "unknown sampler 'ddmp'; did you mean 'ddim'"),
        ("ddpm", DIGITS, {"sampler": "ddim", "eta": 1.5}, "'eta': input should be less than or"),
        ("ddpm", DIGITS, {"sampler": "ddim", "variance": "beta"}, "variance belongs to sampler 'a"),
        ("ddpm", DIGITS, {"variance": "learned"}, "variance 'learned' needs a model trained with"),
        ("ddpm", DIGITS, {"guidance": -1.0}, "'guidance': input should be greater than or equal"),
        ("ddpm", POINTS, {"clip_denoised": True}, "clip_denoised needs data in .-1, 1."),
        ("score-sde", DIGITS, {"sampler": "ode", "snr": 0.1}, "snr belongs to sampler 'predictor"),
        ("score-sde", DIGITS, {"corrector": "none", "snr": 0.1}, "snr belongs to corrector 'lang"),
        ("score-sde", DIGITS, {"snr": -0.1}, "'snr': input should be greater than 0"),
        ("score-sde", DIGITS, {"sampler": "ode", "corrector": "none"}, "corrector belongs to samp"),
        ("score-sde", DIGITS, {"tolerance": 1e-3}, "tolerance belongs to sampler 'rk45', not to '"),
        ("edm", DIGITS, {"sampler": "dpm-solver++", "s_churn": 1.0}, "s_churn belongs to sampler"),
        ("flow-matching", DIGITS, {"tolerance": 1e-3}, "tolerance belongs to sampler 'rk45', not"),
        ("consistency", DIGITS, {"guidance": 2.0}, "no option 'guidance'"),
        ("consistency", DIGITS, {"sampler": "dpm-solver++"}, "no option 'sampler'"),
    ],
)
def test_wrong_sampling_options_are_told_in_a_line(
    name: str, spec: SampleSpec, sampling: dict[str, Any], message: str
) -> None:
    model = build(name, spec, {"timesteps": 30} if name == "ddpm" else {})
    with pytest.raises(UsageError, match=message):
        sample(model, torch.randn(1, *spec.shape), sampling)
