"""Drawn and scored once, and all that was asked for."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
import torchmetrics

from genbench import experiment, registry, store
from genbench.api import Estimate, Output, TensorSamples
from genbench.data import open_samples
from genbench.devices.hardware import Hardware
from genbench.devices.ranks import ALONE, Ranks
from genbench.evaluation import scorer
from genbench.experiment import RunContext, real, run_job
from genbench.experiment.stages import scored
from genbench.metrics.manifold import Manifold
from genbench.store.records import Record
from genbench.suite import parse, trainings

TOY = Path(__file__).parents[1] / "plugins" / "toy.py"
HARDWARE = Hardware(Path(), "cpu")
SUITE: dict[str, Any] = {
    "title": "As many",
    "dataset": "points-ring",
    "seeds": [0],
    "examples": 64,
    "samples": 64,
    "score": {
        "extractor": "identity",
        "reference": "points-ring:test",
        "snapshots": {"count": 1, "samples": 64, "metrics": ["precision"]},
    },
    "train": {"batch": 32},
    "entries": {"Toy": {"model": "toy"}},
}

OUTPUTS = sorted(Manifold.outputs)
SUBSETS = [subset for size in range(1, len(OUTPUTS) + 1) for subset in combinations(OUTPUTS, size)]


@pytest.mark.parametrize("order", [SUBSETS, SUBSETS[::-1]], ids=["ascending", "descending"])
def test_every_subset_of_a_metrics_outputs_has_all_of_its_scores(
    order: list[tuple[str, ...]], tmp_path: Path
) -> None:
    """Asked for one after the other in one folder."""
    whole_ring = open_samples("points-ring:test", Path())
    points = whole_ring.take(torch.arange(200)).data
    ring = TensorSamples(whole_ring.spec, "ring", points)
    score = scorer(reference=ring, train=None, extractor="identity", outputs=OUTPUTS)
    whole = score(ring).values
    identities = set()
    for subset in order:
        for outputs in (subset, subset[::-1]):  # in whatever order
            identity, scores = scored(ALONE, score, tmp_path, ring, outputs)
            assert list(scores.values) == list(outputs)
            assert scores.values == {name: whole[name] for name in outputs}
            assert list(scores.outputs) == list(outputs)
            identities.add(identity)
    assert len(identities) == len(list((tmp_path / "scores").iterdir())) == len(SUBSETS)


def test_snapshots_may_be_as_many_as_samples_and_a_suite_may_ask_for_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.add_plugin_file(TOY)
    monkeypatch.setattr(real, "REAL_DRAWS", 2)
    ranks = Ranks(HARDWARE.fabric("32-true"))

    def run(*outputs: str) -> list[Record]:
        content = parse("toys", {**SUITE, "score": {**SUITE["score"], "metrics": list(outputs)}})
        context = RunContext("toys", tmp_path, HARDWARE, content.samples, content.score)
        (entries,) = trainings(content)
        return [
            *run_job(ranks, context, entries, lambda event: None),
            *real.run_real(ranks, context, content.dataset, lambda event: None),
        ]

    # The metric of precision is asked for the very samples that it has scored along training.
    for outputs in (["recall", "coverage"], ["precision"], ["density", "precision"]):
        for record in run(*outputs):
            assert (record.status, list(record.scores)) == ("done", outputs)
            assert record.skipped_metrics == {}
    for record in run("density", "inception_score"):
        assert list(record.scores) == ["density"]
        assert record.skipped_metrics == {
            "inception_score": "needs logits, which identity does not give here"
        }


@pytest.mark.parametrize(
    ("stage", "wrong"),
    [
        ("scores", {"values": {"recall": {"value": 0.5, "low": "x", "high": None, "note": None}}}),
        ("scores", {"outputs": {"recall": {"higher_is_better": 3}}}),
        ("records", {"cost": {"nfe": "x"}}),
        ("records", {"unknown": 1}),
    ],
)
def test_what_no_record_could_hold_is_computed_again(
    stage: str, wrong: dict[str, Any], tmp_path: Path
) -> None:
    """A metric gave it, or another version of genbench: its checksum is right."""
    registry.add_plugin_file(TOY)
    ranks = Ranks(HARDWARE.fabric("32-true"))
    content = parse("toys", {**SUITE, "score": {**SUITE["score"], "metrics": ["recall"]}})
    context = RunContext("toys", tmp_path, HARDWARE, content.samples, content.score)
    (entries,) = trainings(content)
    (first,) = run_job(ranks, context, entries, lambda event: None)
    assert experiment.finished(context, entries)
    for file in tmp_path.glob(f"runs/*/{stage}/*.json"):
        store.write_metadata(file, {**(store.read_metadata(file) or {}), **wrong})
    if stage == "scores":
        store.remove(*tmp_path.glob("runs/*/records/*.json"))
    assert experiment.finished(context, entries) is None
    (again,) = run_job(ranks, context, entries, lambda event: None)
    assert (again.status, again.scores) == ("done", first.scores)
    assert experiment.finished(context, entries)


class Fickle(torchmetrics.Metric):
    """A number, but for the second of the draws."""

    needs = frozenset({"features"})
    sides = frozenset({"generated"})
    outputs = {"fickle": Output(True, "fickle", "other scores")}  # noqa: RUF012
    full_state_update = False
    computed = 0

    def update(self, features: object, side: str) -> None: ...

    def compute(self) -> dict[str, Estimate]:
        Fickle.computed += 1
        return {"fickle": Estimate(math.nan if Fickle.computed == 2 else 1.0)}


def test_the_real_row_has_a_score_of_all_draws_or_says_why_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.metrics.add("fickle", Fickle)
    monkeypatch.setattr(real, "REAL_DRAWS", 3)
    ranks = Ranks(HARDWARE.fabric("32-true"))
    score = {**SUITE["score"], "metrics": ["recall", "fickle"]}
    content = parse("fickle", {**SUITE, "score": score})
    context = RunContext("fickle", tmp_path, HARDWARE, content.samples, content.score)
    (row,) = real.run_real(ranks, context, content.dataset, lambda event: None)
    assert list(row.scores) == list(row.outputs) == ["recall"]
    assert row.skipped_metrics == {"fickle": "fickle is nan"}
