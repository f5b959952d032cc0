"""The built-in suites say what their contestants understand, and share trainings where meant."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from pathlib import Path

import pytest
import torch

from genbench import registry
from genbench.api import Categorical, GenerativeModel, SampleSpec, Text
from genbench.data import open_samples
from genbench.suite import SeededEntry, Suite, Training, trainings
from genbench.training import ema

SUITES = sorted(
    file.name.removesuffix(".toml")
    for file in files("baselines.suites").iterdir()
    if file.name.endswith(".toml")
)
LABEL = {"label": Categorical(10)}
DOWNLOADED = {
    "cifar10": SampleSpec("image", (3, 32, 32), condition=LABEL),
    "fashion-mnist": SampleSpec("image", (1, 28, 28), condition=LABEL),
    "mnist": SampleSpec("image", (1, 28, 28), condition=LABEL),
}
"""Of the data sets that may not be here."""


@cache
def suite(name: str) -> Suite:
    return Suite.from_toml(name)


@cache
def groups(name: str) -> list[list[SeededEntry]]:
    """The entries of one seed, those of one training together."""
    return trainings(suite(name), seeds=[0])


def spec(dataset: str) -> SampleSpec:
    if dataset in DOWNLOADED:
        return DOWNLOADED[dataset]
    return open_samples(f"{dataset}:train", Path("nowhere")).spec


def device(training: Training) -> str:
    """Where a model takes no memory; spectral normalisation computes when it is built."""
    return "cpu" if training.model == "sngan" else "meta"


def built(training: Training) -> GenerativeModel:
    samples = spec(training.dataset)
    with torch.device(device(training)):
        model: GenerativeModel = registry.models.make(training.model, samples, **training.options)
    return model


@pytest.mark.parametrize("name", SUITES)
def test_the_contestants_take_the_options(name: str) -> None:
    for entries in groups(name):
        training = entries[0].training
        model = built(training)
        noise = torch.zeros(2, *model.noise_shape, device=device(training))
        conditions = spec(training.dataset).condition
        asked = {
            name: torch.zeros(
                (2, kind.max_tokens) if isinstance(kind, Text) else 2,
                dtype=torch.int64,
                device=device(training),
            )
            for name, kind in conditions.items()
        }
        for entry in entries:
            assert entry.fault is None
            for options in (entry.sample, entry.snapshot_sample):
                registry.check_options(entry.name, model.sample, options)
                # Options that do not go together are refused before the first evaluation.
                if hasattr(model, "trajectory"):
                    next(iter(model.trajectory(noise, asked, **options)))


@pytest.mark.parametrize("name", SUITES)
def test_the_scores_exist(name: str) -> None:
    score = suite(name).score
    metrics = [registry.metrics.get(metric) for metric in registry.metrics.names()]
    offered = {output for metric in metrics for output in metric.outputs}
    assert set(score.metrics) | set(score.snapshots.metrics) <= offered
    assert score.extractor in registry.extractors.names()
    assert score.reference.split(":")[0] in registry.datasets.names()


SHARED = {
    "quickstart": [
        {"DDPM", "DDIM-10", "DDIM-50"},
        {"score-SDE PC", "score-SDE ODE"},
    ],
    "cifar10": [
        {"DDPM"} | {f"DDIM-{n}{eta}" for n in (10, 20, 50, 100, 1000) for eta in ("", " η1")},
        {"DDPM++ VP PC", "DDPM++ VP ODE"},
        {"DDPM++ sub-VP PC", "DDPM++ sub-VP ODE"},
        {"iCT 1 step", "iCT 2 steps"},
    ],
    "fashion-mnist": [
        {"DDPM", "DDIM-10", "DDIM-50", "DDIM-100"},
        {"score-SDE PC", "score-SDE ODE"},
        {"Consistency-1", "Consistency-2"},
    ],
    "mnist-small": [{"DDPM", "DDIM-50"}],
    "points": [
        {"DDPM", "DDIM-20"},
        {"score-SDE PC", "score-SDE ODE"},
        {"consistency, 1 step", "consistency, 2 steps"},
    ],
    "digits-full": [
        {"DDPM", "DDIM-50"},
        {"score-SDE PC", "score-SDE ODE"},
        {"consistency, 1 step", "consistency, 2 steps"},
    ],
    "shapes-quickstart": [{"flow matching", "flow matching, guidance 3"}],
    "nfe": [
        {"DDPM-250"}
        | {f"DDIM-{n}" for n in (5, 10, 25, 50, 100, 250)}
        | {f"DPM-Solver++-{n}" for n in (5, 10, 25)},
        {f"score-SDE {how}" for how in ("ODE-5", "ODE-9", "ODE-25", "ODE-49", "RK45")},
        {f"EDM Heun-{n}" for n in (5, 9, 17, 35)} | {f"EDM DPM-Solver++-{n}" for n in (5, 10, 25)},
        {f"Flow matching Euler-{n}" for n in (5, 10, 25)}
        | {f"Flow matching Heun-{n}" for n in (6, 10, 50)},
        {"Consistency-1", "Consistency-2"},
    ],
}
TRAININGS = {
    "quickstart": 3,
    "points": 11,
    "digits-full": 12,
    "cifar10": 23,
    "fashion-mnist": 12,
    "mnist-small": 7,
    "nfe": 6,
    "shapes-quickstart": 2,
}


@pytest.mark.parametrize("name", SHARED)
def test_entries_share_their_trainings(name: str) -> None:
    names = [{entry.name for entry in entries} for entries in groups(name)]
    assert [group for group in names if len(group) > 1] == SHARED[name]
    assert len(names) == TRAININGS[name]


def test_every_recipe_says_where_it_is_from() -> None:
    """Each entry of cifar10 follows a comment that says how far it is the published one."""
    text = (files("baselines.suites") / "cifar10.toml").read_text(encoding="utf-8")
    said = re.findall(r"((?:^#.*\n)*)^\[entries\.(?:\w+|\"[^\"]+\")\]$", text, re.MULTILINE)
    assert len(said) == len(suite("cifar10").entries)
    for comment in said:
        assert re.search(r"# transcribed(, not yet run| in part)|results/", comment), comment


PRINTED = {
    "DDPM": 0.9999,
    "IDDPM cosine hybrid": 0.9999,
    "NCSN++ VE": 0.999,
    "NCSN++ deep VE": 0.999,
    "DDPM++ VP PC": 0.9999,
    "I-CFM": 0.9999,
    "iCT 1 step": 0.99993,
}
"""EMA decays a step."""


@pytest.mark.parametrize("name", PRINTED)
def test_halflives_are_the_printed_decays(name: str) -> None:
    (training,) = {
        id(entry.training): entry.training
        for entries in groups("cifar10")
        for entry in entries
        if entry.name == name
    }.values()
    kept = ema.decay(training.ema_halflife, training.batch, step=10**7)
    assert kept == pytest.approx(PRINTED[name], abs=1e-7)
