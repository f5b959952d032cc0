"""A training's curve is scored with a cheap sampler: its own error must be small beside the
model's, so that the curve ends where the final score is."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric

import genbench
from baselines.ddpm import Ddpm
from baselines.score_sde import ScoreSde
from genbench import registry
from genbench.data import open_samples
from genbench.store import in_memory
from genbench.suite import Suite
from genbench.testing.model_under_test import brisk, quiet
from genbench.training import checkpoint, loop

TRAININGS = [
    ("quickstart", "DDPM"),
    ("quickstart", "score-SDE PC"),
    ("digits-full", "DDPM"),
    ("digits-full", "score-SDE PC"),
    ("nfe", "DDPM-250"),
]
CONVERGED = {
    "ddpm": {"sampler": "ddim", "steps": 50},
    "score-sde": {"sampler": "ode", "steps": 25},
}
"""By model, in place of the final scores' samplers, which take longer."""
DIGITS = open_samples("digits:train", Path("nowhere"))
SPEC = replace(DIGITS.spec, condition={})


@cache
def trained(model: str, options: str) -> Ddpm | ScoreSde:
    """A model of a suite, two thirds as wide, after a quarter of its training."""

    def build() -> Ddpm | ScoreSde:
        chosen = {**json.loads(options), "channels": 16}
        return registry.call(registry.models.get(model), SPEC, **chosen)

    plan = loop.TrainingConfig(steps=500, batch=32, ema_halflife=2000, snapshots=1, seed=0)
    with TemporaryDirectory() as name, brisk():
        fabric = Fabric(accelerator="cpu", devices=1)
        result = loop.train(fabric, build, DIGITS, plan, Path(name), quiet)
        weights = checkpoint.load_snapshot(Path(name), result.snapshots[-1], "ema")
    made = build()
    made.load_state_dict(weights)
    return made.eval()


def distance(suite: str, name: str, **sampling: Any) -> float:
    """Of 448 samples, as many as a snapshot has in those suites."""
    entry = Suite.from_toml(suite).entries[name]
    model = trained(entry.model, json.dumps(dict(entry.options), sort_keys=True))
    torch.manual_seed(0)
    made = SPEC.decode(model.sample(torch.randn(448, 1, 8, 8), {}, **sampling))
    scores = genbench.evaluate(
        in_memory("made", "train", SPEC, made, {}),
        "digits:test",
        extractor="digits",
        metrics=["frechet_distance"],
    )
    return scores.values["frechet_distance"].value


@pytest.mark.parametrize(("suite", "name"), TRAININGS)
def test_the_sampler_of_snapshots_adds_little_to_the_error(suite: str, name: str) -> None:
    entry = Suite.from_toml(suite).entries[name]
    converged = distance(suite, name, **CONVERGED[entry.model])
    assert distance(suite, name, **entry.snapshot_sample) < 1.5 * converged


def test_ten_steps_of_ddim_would_add_more() -> None:
    converged = distance("quickstart", "DDPM", **CONVERGED["ddpm"])
    assert distance("quickstart", "DDPM", sampler="ddim", steps=10) > 1.5 * converged
