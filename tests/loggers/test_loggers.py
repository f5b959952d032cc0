"""Loggers: each tool's own reader finds there what history and records hold, and nothing of the
training is changed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from toy_logs import (
    BATCH,
    READERS,
    STEPS,
    assert_holds,
    expected,
    mlflow_run,
    run,
    tensorboard_events,
    wandb_records,
)

from genbench.loggers import LOGGERS, Log, LoggedRun, log
from genbench.store.records import Record

# What MLflow asks of SQLAlchemy is between the two.
pytestmark = pytest.mark.filterwarnings("ignore:The ..noload.. loader:DeprecationWarning")


@pytest.mark.parametrize("name", LOGGERS)
def test_a_tool_holds_what_history_and_records_hold(
    name: str, logged: tuple[Path, list[Record]]
) -> None:
    folder, records = logged
    found = READERS[name](folder)
    assert len(expected(folder, records)["train/mover/offset"]) == 7  # 20 steps in threes
    assert found[log.RATE][-1][0] == STEPS * BATCH
    assert_holds(found, folder, records)


@pytest.mark.parametrize("name", LOGGERS)
def test_after_a_kill_nothing_is_there_twice_and_nothing_is_missing(
    name: str, resumed: tuple[Path, list[Record]]
) -> None:
    folder, records = resumed
    assert_holds(READERS[name](folder), folder, records)


def test_nothing_of_the_training_is_changed(
    logged: tuple[Path, list[Record]], resumed: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    """Weights, samples, history, scores and identities: bit for bit, and by the same names."""
    plain = run(tmp_path / "out", ())
    (bare,) = (tmp_path / "out" / "runs").glob("toy*")
    files = {path.relative_to(bare) for path in bare.rglob("*") if path.is_file()}
    assert len(files) > 20
    for folder, records in (logged, resumed):
        assert folder.name == bare.name
        ours = {p.relative_to(folder) for p in folder.rglob("*") if p.is_file()}
        assert {path for path in ours if path.parts[0] != "logs"} == files
        for path in files:
            if path.suffix in (".safetensors", ".csv") or path.parts[0] == "scores":
                assert (folder / path).read_bytes() == (bare / path).read_bytes(), path
        assert [r.identities for r in records] == [r.identities for r in plain]


def test_hyperparameters(logged: tuple[Path, list[Record]]) -> None:
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    folder, _ = logged
    wanted = {"batch": BATCH, "seed": 0, "model": "toy", "options/learning_rate": 0.05}
    metadata = tensorboard_events(folder).summary_metadata["_hparams_/session_start_info"]
    hparams = HParamsPluginData.FromString(metadata.plugin_data.content).session_start_info.hparams
    assert {k: hparams[k].number_value or hparams[k].string_value for k in wanted} == {
        **wanted,
        "seed": "",  # 0
    }
    _, found = mlflow_run(folder)
    assert {k: found.data.params[k] for k in wanted} == {k: str(v) for k, v in wanted.items()}
    assert (found.info.run_name, found.info.status) == (folder.name, "FINISHED")
    config: dict[str, Any] = {}
    for record in wandb_records(folder):
        for part in (record.run, record.run.config, record.config):
            config |= {i.key: json.loads(i.value_json) for i in getattr(part, "update", ())}
        if record.run.run_id:
            assert (record.run.project, record.run.display_name) == ("toys", folder.name)
    assert {k: config[k] for k in wanted} == wanted


def test_what_damages_the_logs_damages_nothing_else(
    logged: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    """A job that goes on in its folder: silent, and with a new run where the metadata are lost."""
    folder, _ = logged
    out = tmp_path / "out"
    first = run(out, ("csv", "wandb"))
    (ours,) = (out / "runs").glob("toy*")
    assert ours.name == folder.name
    (ours / "logs" / "wandb.json").write_text("{", encoding="utf-8")
    file = ours / "logs" / "csv" / "metrics.csv"
    whole = file.read_text(encoding="utf-8")
    file.write_text(whole[: len(whole) // 2], encoding="utf-8")
    notes: list[str] = []
    again = run(out, ("csv", "wandb"), lambda e: notes.append(e.note) if e.note else None)
    assert notes == []
    assert [r.scores for r in again] == [r.scores for r in first]
    for name in ("csv", "wandb"):
        assert_holds(READERS[name](ours), ours, again)


def test_a_training_that_diverges_shows_where(tmp_path: Path) -> None:
    found = Log(("csv",), LoggedRun("p", "n", tmp_path, {}, steps=4, batch=2), lambda event: None)
    turn = {"examples": 0, "player": "a", "gradient_norm": 1.0, "learning_rate": 0.1}
    with found:
        found.end([{**turn, "step": 0, "loss": 2.0}, {**turn, "step": 1, "loss": math.nan}])
    frame = pd.read_csv(tmp_path / "csv" / "metrics.csv")
    assert frame.step.tolist() == [2, 4]
    assert frame["train/a/loss"].iloc[0] == 2
    assert math.isnan(frame["train/a/loss"].iloc[1])
