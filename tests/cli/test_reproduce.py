"""``genbench reproduce``: a row runs again from its record, to the same bits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from genbench import registry
from genbench.cli import main
from genbench.store.records import Record, read_records, write_records

SUITE = """
title   = "tiny"
dataset = "points-ring"
seeds   = [3, 4]
examples = 640
samples = 128

[score]
extractor = "identity"
reference = "points-ring:test"
metrics   = ["sliced_wasserstein", "frechet_distance", "coverage"]
snapshots = { count = 2, samples = 64 }

[entries."DDIM, 4"]
model   = "ddim"
options = { timesteps = 24, channels = 8, multipliers = [1] }
sample  = { steps = 4 }
"""


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("measured")
    (folder / "tiny.toml").write_text(SUITE, encoding="utf-8")
    done = call("run", folder / "tiny.toml", "--out", folder / "out", "--jobs", 1)
    assert done.exit_code == 0, done.output
    return folder / "out"


def changed(measured: Path, folder: Path, **fields: Any) -> Path:
    """The records with every run's fields replaced."""
    records = [replace(r, **fields) if r.seed is not None else r for r in read_records(measured)]
    write_records(folder, records)
    return folder


def test_a_row_comes_to_the_same_bits(measured: Path, tmp_path: Path) -> None:
    out = tmp_path / "again"
    done = call("reproduce", f"{measured}:DDIM, 4", "--out", out, "--jobs", 1, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    (score,) = told["scores"]
    assert (score["score"], score["identical"], score["seeds"]) == ("sliced_wasserstein", 2, 2)
    assert score["outcome"] == "inside"
    assert told["conditions"] == []
    again: list[Record] = [record for record in read_records(out) if record.seed is not None]
    assert not any(record.snapshots for record in again)
    assert again[0].command == f"genbench reproduce {measured}:DDIM, 4"


SPOT = """
import torchmetrics
from genbench import Estimate, Output, registry

class Spot(torchmetrics.Metric):
    needs, sides = frozenset({"features"}), frozenset({"generated"})
    outputs = {"spot": Output(True, "spot", "other scores")}
    full_state_update = False

    def update(self, features, side): ...

    def compute(self):
        return {"spot": Estimate(4.0)}

registry.metrics.add("spot", Spot)
"""


def test_a_row_with_a_score_of_a_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = SUITE.replace('"sliced_wasserstein", ', '"spot", ').replace("[3, 4]", "[3]")
    (tmp_path / "tiny.toml").write_text(suite, encoding="utf-8")
    measured, again = ["run", tmp_path / "tiny.toml"], ["reproduce", f"{tmp_path / 'run'}:DDIM, 4"]
    for command in (measured, again):
        monkeypatch.setattr(registry.metrics, "added", {})  # as in a new process
        plugin = tmp_path / f"of_{command[0]}" / "spot.py"
        plugin.parent.mkdir()
        plugin.write_text(SPOT, encoding="utf-8")
        where = ["--out", tmp_path / str(command[0]), "--jobs", 1, "--plugin", plugin]
        done = call(*command, *where)
        assert done.exit_code == 0, done.output
    assert "1 of 1 seeds" in done.stdout


def test_two_measured_runs_are_too_few_to_judge_another_number(
    measured: Path, tmp_path: Path
) -> None:
    scores = {"sliced_wasserstein": {"value": 9.0, "low": None, "high": None}}
    far = changed(measured, tmp_path / "far", scores=scores)
    done = call("reproduce", f"{far}:DDIM, 4", "--out", tmp_path / "again", "--jobs", 1)
    assert done.exit_code == 0, done.output
    assert "0 of 2 seeds" in done.stdout
    assert "outside" not in done.stdout


def test_mistakes_are_one_line_and_write_nothing(measured: Path, tmp_path: Path) -> None:
    other = next(r for r in read_records(measured) if r.seed is not None).protocol
    protocol = {**other, "reference": "points-ring:test@0123456789abcdef"}
    moved = changed(measured, tmp_path / "moved", protocol=protocol)
    for what, said in (
        (str(measured), "write DIR:ROW"),
        (f"{measured}:DDIM-4", "unknown row 'DDIM-4'; did you mean 'DDIM, 4'?"),
        (f"{moved}:DDIM, 4", "the scoring protocol cannot be reproduced: reference"),
    ):
        done = call("reproduce", what, "--out", tmp_path / "none")
        assert done.exit_code == 2, done.output
        assert said in done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "none").exists()
