"""A training's curve is scored with a cheap sampler: its own error must be small beside the
model's, so that the curve ends where the final score is."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric

import genbench
from baselines.ddpm import Ddpm, ddpm
from baselines.networks import NetworkOptions
from genbench.data import open_samples
from genbench.store import in_memory
from genbench.suite import Suite
from genbench.testing.model_under_test import brisk, quiet
from genbench.training import checkpoint, loop

SCORED_WITH_DDPM = ["quickstart", "digits-full", "nfe"]
CONVERGED = {"sampler": "ddim", "steps": 50}
"""In place of the 250 steps of the final scores, which take four times as long."""
DIGITS = open_samples("digits:train", Path("nowhere"))
SPEC = replace(DIGITS.spec, condition={})


@cache
def trained() -> Ddpm:
    """The quickstart's DDPM, two thirds as wide, after a quarter of its training."""

    def build() -> Ddpm:
        return ddpm(SPEC, timesteps=250, network=NetworkOptions(channels=16))

    plan = loop.TrainingConfig(steps=500, batch=64, ema_halflife=4000, snapshots=1, seed=0)
    with TemporaryDirectory() as name, brisk():
        fabric = Fabric(accelerator="cpu", devices=1)
        result = loop.train(fabric, build, DIGITS, plan, Path(name), quiet)
        weights = checkpoint.load_snapshot(Path(name), result.snapshots[-1], "ema")
    model = build()
    model.load_state_dict(weights)
    return model.eval()


@cache
def distance(**sampling: Any) -> float:
    """Of 448 samples, as many as a snapshot has in those suites."""
    torch.manual_seed(0)
    made = SPEC.decode(trained().sample(torch.randn(448, 1, 8, 8), {}, **sampling))
    scores = genbench.evaluate(
        in_memory("made", "train", SPEC, made, {}),
        "digits:test",
        extractor="digits",
        metrics=["frechet_distance"],
    )
    return scores.values["frechet_distance"].value


@pytest.mark.parametrize("suite", SCORED_WITH_DDPM)
def test_the_sampler_of_snapshots_adds_little_to_the_error_of_a_ddpm(suite: str) -> None:
    name = "DDPM-250" if suite == "nfe" else "DDPM"
    entry = Suite.from_toml(suite).entries[name]
    assert distance(**entry.snapshot_sample) < 1.5 * distance(**CONVERGED)


def test_ten_steps_of_ddim_would_add_more() -> None:
    assert distance(sampler="ddim", steps=10) > 1.5 * distance(**CONVERGED)
