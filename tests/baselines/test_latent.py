"""Models of latents: the same model as of pictures, between an encoder and a decoder."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from genbench import registry
from genbench.api import Batch, Categorical, GenerativeModel, Progress, SampleSpec
from genbench.api.errors import UsageError
from genbench.registry import models

SOUND = SampleSpec("audio", (1, 1024), 1 << 16, {"label": Categorical(3)}, 8000.0)
SMALL: dict[str, Any] = {"window": 64, "hop": 32, "bands": 16, "conditional": True}
DIFFUSION = {**SMALL, "codec": "spectrogram", "channels": 8}
START = Progress(0, 0, 100)
LABELS = torch.tensor([0, 1, 2, 1])


def made(name: str, **options: Any) -> Any:
    torch.manual_seed(0)
    return models.make(name, SOUND, **options)


def batch() -> Batch:
    torch.manual_seed(1)
    return Batch(0.1 * torch.randn(4, 1, 1024), {"label": LABELS})


CASES = {
    "ddpm": {**DIFFUSION, "timesteps": 25},
    "edm": DIFFUSION,
    "flow-matching": DIFFUSION,
    "specgan": {**SMALL, "channels": 4},
}
each = pytest.mark.parametrize("name", CASES)


@each
def test_it_learns_the_latents_and_decodes_what_it_samples(name: str) -> None:
    model = made(name, **CASES[name])
    assert model.conditions == {"label"}
    given = batch()
    latents = model.codec.encode(given.data)
    assert latents.shape == (4, 1, 16, 32)
    torch.manual_seed(2)
    ours = [step.loss.item() for step in model.losses(given, START)]
    torch.manual_seed(2)
    inner = [step.loss.item() for step in model.inner.losses(replace(given, data=latents), START)]
    assert ours == inner

    noise = torch.randn(4, *model.noise_shape)
    torch.manual_seed(3)
    sample = model.sample(noise, given.condition)
    torch.manual_seed(3)
    expected = model.codec.decode(model.inner.sample(noise, given.condition))
    assert sample.shape == (4, 1, 1024)
    assert torch.equal(sample, expected)


@each
def test_the_sampling_options_are_those_of_the_inner_model(name: str) -> None:
    model = made(name, **CASES[name])
    ours, inner = registry.schema(model.sample), registry.schema(model.inner.sample)
    assert {name: option.default for name, option in ours.items()} == {
        name: option.default for name, option in inner.items()
    }


@each
def test_what_speaks_of_samples_themselves_is_not_passed_on(name: str) -> None:
    model = made(name, **CASES[name])
    assert not hasattr(model, "bits_per_dim")
    assert hasattr(model, "trajectory") == hasattr(model, "diffused") == (name != "specgan")


def test_a_trajectory_is_decoded_and_ends_in_the_sample() -> None:
    model = made("edm", **DIFFUSION)
    noise, condition = torch.randn(4, *model.noise_shape), {"label": LABELS}
    states = list(model.trajectory(noise, condition, steps=3))
    assert len(states) == 4
    assert all(state.shape == (4, 1, 1024) for state in states)
    assert torch.equal(states[-1], model.sample(noise, condition, steps=3))


def test_what_is_diffused_is_the_spectrogram() -> None:
    model = made("flow-matching", **DIFFUSION)
    x = batch().data
    noise = torch.randn(4, *model.noise_shape)
    latents = model.codec.encode(x)
    expected = model.codec.decode(model.inner.diffused(latents, noise, 0.5))
    assert torch.equal(model.diffused(x, noise, 0.5), expected)
    clean = model.codec.encode(model.diffused(x, noise, 0.0))
    noised = model.codec.encode(model.diffused(x, noise, 1.0))
    assert (clean - latents).abs().mean() < 0.2 * (noised - latents).abs().mean()


def test_latents_are_real_valued_and_have_the_conditions_of_the_sounds() -> None:
    model = made("edm", **DIFFUSION)
    assert model.inner.spec == replace(SOUND, shape=(1, 16, 32), levels=None)


def test_without_a_codec_nothing_stands_between() -> None:
    model: GenerativeModel = made("edm", channels=8, multipliers=[1, 1])
    assert not hasattr(model, "codec")
    with pytest.raises(UsageError, match="inversion_steps need codec = 'spectrogram'"):
        made("edm", bands=16)
