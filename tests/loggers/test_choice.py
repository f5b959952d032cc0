"""Which loggers a command takes, and one that fails: a line, and the same rows."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from lightning_fabric.loggers import CSVLogger
from toy_logs import TOY, brisk, call, read_csv, run, write_suite

from genbench import loggers, store
from genbench.executors import local
from genbench.loggers import LoggedRun, tool
from genbench.loggers import csv as csv_tool

# What MLflow asks of SQLAlchemy is between the two.
pytestmark = pytest.mark.filterwarnings("ignore:The ..noload.. loader:DeprecationWarning")


class Broken(CSVLogger):
    """Fails at its third delivery."""

    def save(self) -> None:
        self.saved = getattr(self, "saved", 0) + 1
        if self.saved == 3:
            raise ConnectionError("the network\nis down")
        super().save()


class Silent(CSVLogger):
    """Never answers."""

    def save(self) -> None:
        threading.Event().wait()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(Broken, "ConnectionError: the network is down"), (Silent, "no answer for 0.2 s")],
)
def test_a_logger_that_fails_costs_one_line(
    kind: type[CSVLogger], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = run(tmp_path / "plain", ())
    (folder,) = (tmp_path / "plain" / "runs").glob("toy*")
    brisk(monkeypatch)
    monkeypatch.setattr(csv_tool, "start", lambda run: (kind(run.folder), {}))
    monkeypatch.setattr(tool, "TIMEOUT", 0.2)
    notes: list[str] = []
    ours = run(tmp_path / "out", ("csv",), lambda e: notes.append(e.note) if e.note else None)
    assert notes == [f"csv: {reason}; nothing more of {folder.name} is logged there"]
    assert [(r.status, r.scores) for r in ours] == [(r.status, r.scores) for r in plain]


def test_a_logger_that_cannot_be_imported_costs_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.delitem(sys.modules, "genbench.loggers.mlflow", raising=False)
    notes: list[str] = []
    records = run(tmp_path / "out", ("mlflow",), lambda e: notes.append(e.note) if e.note else None)
    assert len(notes) == 1
    assert notes[0].startswith("mlflow: ModuleNotFoundError")
    assert [r.status for r in records] == ["done", "done"]


def test_jobs_open_the_store_of_mlflow_one_after_another(
    places: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that made its tables at once have left it broken."""
    from genbench.loggers import mlflow as mlflow_tool

    client = mlflow_tool.MlflowClient

    def alone() -> Any:
        waited: list[str] = []
        other = threading.Thread(target=wait, args=(waited,), daemon=True)
        other.start()
        other.join(0.3)
        assert waited == ["busy"]
        return client()

    def wait(waited: list[str]) -> None:
        place = store.cache_path("mlflow")
        assert place is not None
        with store.lock(place, busy=lambda: waited.append("busy")):
            waited.append("free")

    monkeypatch.setattr(mlflow_tool, "MlflowClient", alone)
    mlflow_tool.start(LoggedRun("toys", "n", tmp_path, {}, steps=1, batch=1))


def test_the_choice_reaches_a_job_and_a_finished_one_is_logged_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The jobs in this process, as where torchrun has started the processes."""
    monkeypatch.setattr(local, "started", lambda: 2)
    out = tmp_path / "out"
    command = ["run", write_suite(tmp_path), "--out", out, "--logger", "csv"]
    done = call(*command)
    assert done.exit_code == 0, done.output
    (folder,) = (out / "runs").glob("toy*")
    keys = {"train/mover/loss", "snapshots/raw/coverage", "scores/Toy/frechet_distance"}
    assert read_csv(folder).keys() > keys
    before = {path: path.stat().st_mtime_ns for path in (folder / "logs").rglob("*")}
    assert call(*command).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in (folder / "logs").rglob("*")} == before


def test_train_logs_until_it_is_finished(tmp_path: Path) -> None:
    command = ["train", f"{write_suite(tmp_path)}:Toy", "--out", tmp_path / "mine"]
    command += ["--logger", "csv", "--logger", "csv"]
    assert call(*command).exit_code == 0
    file = tmp_path / "mine" / "logs" / "csv" / "metrics.csv"
    before = file.stat().st_mtime_ns
    assert call(*command).exit_code == 0
    assert file.stat().st_mtime_ns == before


def test_the_first_of_two_ranks_logs_alone(tmp_path: Path) -> None:
    """In processes of their own; both at once would spoil the file."""
    command = ["train", f"{write_suite(tmp_path)}:Toy", "--out", tmp_path / "mine"]
    done = call(*command, "--plugin", TOY, "--devices", "2", "--logger", "csv")
    assert done.exit_code == 0, done.output
    curve = read_csv(tmp_path / "mine")["train/mover/loss"]
    history = pd.read_csv(tmp_path / "mine" / "history.csv")
    assert [value for _, value in curve] == history.loss.tolist()  # windows of one step


@pytest.mark.parametrize("command", ["run", "train"])
def test_what_cannot_log_is_told_before_anything_starts(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(name: str) -> str:
        what = write_suite(tmp_path)
        done = call(
            command,
            what if command == "run" else f"{what}:Toy",
            *("--out", tmp_path / "out", "--logger", name),
        )
        assert done.exit_code == 2, done.output
        assert done.stderr.count("\n") == 1
        assert not (tmp_path / "out").exists()
        return done.stderr

    assert "unknown logger 'tensorbord'; did you mean 'tensorboard'?" in told("tensorbord")
    monkeypatch.setitem(sys.modules, "mlflow", None)
    assert "pip install 'genbench[mlflow]'" in told("mlflow")
    # What wandb leaves in a working directory looks like a package.
    monkeypatch.setattr(loggers, "find_spec", lambda name: ModuleSpec(name, None))
    assert "pip install 'genbench[wandb]'" in told("wandb")


def test_a_key_that_is_not_there_is_told_and_not_asked_for(tmp_path: Path) -> None:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    command = [sys.executable, "-m", "genbench", "train", "gan", "digits", "--logger", "wandb"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**ours, "HOME": str(tmp_path)},
    )
    assert done.returncode == 2
    said = done.stderr.splitlines()  # matplotlib, in a new home, may say that it takes a moment
    assert said[-1] == (
        "genbench: --logger wandb: no key; run wandb login, or set WANDB_MODE=offline"
    )
    assert [line for line in said if "genbench" in line] == said[-1:]
    assert not (tmp_path / "out").exists()
