"""A training's curve is scored with a cheap sampler: its own error must be small beside the
model's, so that the curve ends where the final score is."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import genbench
from baselines.ddpm import Ddpm
from baselines.optimizers import OptimizerConfig
from baselines.schedules import LinearBetas
from genbench.data import open_samples
from genbench.store import in_memory
from genbench.suite import Suite

SCHEDULE = LinearBetas(250)
SMOOTHED = 0.3
"""By how much the density of the digits is smoothed: the error of a model, in a network that needs
no training."""
SCORED_WITH_DDPM = ["quickstart", "digits-full", "nfe"]


class Smoothed(nn.Module):
    """The network that is exact for the training half of the digits, each give or take 0.3."""

    def __init__(self) -> None:
        super().__init__()
        samples = open_samples("digits:train", Path("nowhere"))
        batch = samples.take(torch.arange(len(samples)))
        self.register_buffer("digits", samples.spec.encode(batch.data).flatten(1))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        digits = self.get_buffer("digits")
        t = (time[:1] * SCHEDULE.timesteps).round().long().cpu()
        alpha, sigma = (float(c) for c in SCHEDULE(t))
        variance = (alpha * SMOOTHED) ** 2 + sigma**2
        x_t = x.flatten(1)
        weights = (-torch.cdist(x_t, alpha * digits).square() / (2 * variance)).softmax(1)
        epsilon: Tensor = sigma / variance * (x_t - alpha * weights @ digits)
        return epsilon.view_as(x)


@cache
def distance(**sampling: Any) -> float:
    """Of 448 samples, as many as a snapshot has in those suites."""
    samples = open_samples("digits:train", Path("nowhere"))
    model = Ddpm(samples.spec, SCHEDULE, Smoothed(), OptimizerConfig())
    torch.manual_seed(0)
    made = samples.spec.decode(model.sample(torch.randn(448, 1, 8, 8), {}, **sampling))
    scores = genbench.evaluate(
        in_memory("made", "train", replace(samples.spec, condition={}), made, {}),
        "digits:test",
        extractor="digits",
        metrics=["frechet_distance"],
    )
    return scores.values["frechet_distance"].value


@pytest.mark.parametrize("suite", SCORED_WITH_DDPM)
def test_a_snapshot_s_sampler_does_not_floor_the_curve_of_an_exact_ddpm(suite: str) -> None:
    name = "DDPM-250" if suite == "nfe" else "DDPM"
    entry = Suite.from_toml(suite).entries[name]
    final = distance(**entry.sample)
    assert distance(**entry.snapshot_sample) < 1.5 * final
    # Ten steps of DDIM were no measure of it.
    assert distance(sampler="ddim", steps=10) > 2 * final
