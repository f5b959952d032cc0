"""Loggers: each tool's own reader finds there what history and records hold, and nothing of the
training is changed.

Run as a script, this file is a training that is killed ahead of its last checkpoint.
"""

from __future__ import annotations

import json
import math
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import wandb
from click.testing import CliRunner, Result
from lightning_fabric.loggers import CSVLogger

from genbench import experiment, loggers, registry, store, suite
from genbench.api import ProgressEvent
from genbench.cli import main
from genbench.devices.hardware import Hardware
from genbench.devices.ranks import Ranks
from genbench.executors import local
from genbench.experiment import RunContext
from genbench.loggers import LOGGERS, Log, LoggedRun, log, tool
from genbench.loggers import csv as csv_tool
from genbench.store.records import Record
from genbench.training import checkpoint, loop

TOY = Path(__file__).parents[1] / "plugins" / "toy.py"
STEPS, BATCH, WINDOW = 20, 32, 3
KEPT, KILLED = 10, 17
"""The steps of the last checkpoint, and of the kill."""

SUITE = f"""
title = "Toys"
dataset = "points-ring"
seeds = [0]
examples = {STEPS * BATCH}
samples = 64
[score]
extractor = "identity"
reference = "points-ring:test"
metrics = ["frechet_distance", "recall"]
snapshots = {{ count = 2, samples = 64 }}
[train]
batch = {BATCH}
[entries.Toy]
model = "toy"
[entries."Toy, wide"]
model = "toy"
sample = {{ scale = 0.5 }}
"""

# What MLflow asks of SQLAlchemy is between the two.
pytestmark = pytest.mark.filterwarnings("ignore:The ..noload.. loader:DeprecationWarning")

Curves = Mapping[str, list[tuple[int, float]]]
"""By key: steps and values, in the order in which the tool has them."""


def write_suite(folder: Path) -> Path:
    path = folder / "toys.toml"
    path.write_text(SUITE, encoding="utf-8")
    return path


def run(
    out: Path, names: tuple[str, ...], report: Callable[[ProgressEvent], None] = lambda event: None
) -> list[Record]:
    """The one job of the suite, in this process."""
    out.mkdir(parents=True, exist_ok=True)
    content = suite.Suite.from_toml(str(write_suite(out.parent)))
    hardware = Hardware(Path("data"), "cpu")
    context = RunContext("toys", out, hardware, content.samples, content.score, names)
    (entries,) = suite.trainings(content)
    return experiment.run_job(Ranks(hardware.fabric("32-true")), context, entries, report)


def brisk(patch: pytest.MonkeyPatch) -> None:
    """Windows of ``WINDOW`` steps, handed over after every step."""
    patch.setattr(log, "POINTS", math.ceil(STEPS / WINDOW))
    patch.setattr(log, "SECONDS", 0.0)


def die_ahead(out: Path) -> None:
    """Train with all loggers, one checkpoint after ``KEPT`` steps, and a kill after ``KILLED``."""
    save, follow = checkpoint.save_state, Log.follow

    def save_one(folder: Path, state: dict[str, Any]) -> None:
        if state["step"] == KEPT:
            save(folder, state)

    def follow_or_die(self: Log, history: Sequence[Mapping[str, Any]]) -> None:
        follow(self, history)
        if history[-1]["step"] == KILLED - 1:
            self.wait()
            os.kill(os.getpid(), signal.SIGKILL)

    registry.add_plugin_file(TOY)
    with pytest.MonkeyPatch.context() as patch:
        brisk(patch)
        patch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
        patch.setattr(loop, "CHECKPOINT_SHARE", math.inf)
        patch.setattr(checkpoint, "save_state", save_one)
        patch.setattr(Log, "follow", follow_or_die)
        run(out, tuple(LOGGERS))


@pytest.fixture(scope="module", autouse=True)
def toy(names_of_its_own: None) -> None:
    registry.add_plugin_file(TOY)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the tools that have places of their own keep things: offline."""
    folder = tmp_path_factory.mktemp("places")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("WANDB_DIR", str(folder))
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        brisk(patch)
        yield folder
        wandb.teardown()


@pytest.fixture(scope="module")
def logged(places: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Record]]:
    """A run folder with every logger, and its records."""
    out = tmp_path_factory.mktemp("logged") / "out"
    notes: list[str] = []
    records = run(out, tuple(LOGGERS), lambda e: notes.append(e.note) if e.note else None)
    assert notes == []
    (folder,) = (out / "runs").glob("toy*")
    return folder, records


@pytest.fixture(scope="module")
def resumed(places: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Record]]:
    """The same of a training that was killed, and went on from a checkpoint of before."""
    out = tmp_path_factory.mktemp("resumed") / "out"
    # As after a kill of everything, wandb's service included.
    alone = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    command = [sys.executable, __file__, str(out)]
    died = subprocess.run(command, capture_output=True, text=True, env=alone)
    assert died.returncode == -signal.SIGKILL, died.stderr
    (folder,) = (out / "runs").glob("toy*")
    assert max(s for s, _ in read_csv(folder)["train/mover/loss"]) == 15 * BATCH  # 17, in windows
    notes: list[str] = []
    records = run(out, tuple(LOGGERS), lambda e: notes.append(e.note) if e.note else None)
    assert notes == []
    return folder, records


def read_csv(folder: Path) -> Curves:
    frame = pd.read_csv(folder / "logs" / "csv" / "metrics.csv")
    return {
        name: list(zip(frame.step[there], frame[name][there], strict=True))
        for name in frame.columns.drop("step")
        for there in [frame[name].notna()]
    }


def read_tensorboard(folder: Path) -> Curves:
    events = _events(folder)
    return {
        tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }


def _events(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "logs" / "tensorboard"), {"scalars": 0})
    events.Reload()
    return events


def read_mlflow(folder: Path) -> Curves:
    client, found = _mlflow(folder)
    return {
        key: [(m.step, m.value) for m in client.get_metric_history(found.info.run_id, key)]
        for key in found.data.metrics
    }


def _mlflow(folder: Path) -> tuple[Any, Any]:
    from mlflow import MlflowClient

    client = MlflowClient()
    metadata = store.read_metadata(folder / "logs" / "mlflow.json")
    assert metadata is not None
    return client, client.get_run(metadata["run"])


def read_wandb(folder: Path) -> Curves:
    """The last of its folders: offline, that is what syncing leaves of a run."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for record in _wandb(folder):
        if record.WhichOneof("record_type") != "history":
            continue
        row = {
            item.key or "/".join(item.nested_key): json.loads(item.value_json)
            for item in record.history.item
        }
        step = row.pop("examples")
        for key, value in row.items():
            if not key.startswith("_"):
                curves.setdefault(key, []).append((step, value))
    return curves


def _wandb(folder: Path) -> list[Any]:
    from wandb.proto.wandb_internal_pb2 import Record

    metadata = store.read_metadata(folder / "logs" / "wandb.json")
    assert metadata is not None
    files = Path(os.environ["WANDB_DIR"]).glob(f"wandb/offline-run-*-{metadata['run']}/*.wandb")
    return [Record.FromString(data) for data in _leveldb(max(files).read_bytes())]


def _leveldb(data: bytes) -> Iterator[bytes]:
    """The records of a log as LevelDB writes it: blocks of 32 KiB, in which each piece of a record
    has checksum, length and type (whole, first, middle, last) before it; W&B begins with 7 bytes of
    its own."""
    at, pieces = 7, b""
    while at + 7 <= len(data):
        if (left := 2**15 - at % 2**15) < 7:
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        pieces += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield pieces
            pieces = b""


READERS = {
    "csv": read_csv,
    "mlflow": read_mlflow,
    "tensorboard": read_tensorboard,
    "wandb": read_wandb,
}


def expected(folder: Path, records: list[Record]) -> Curves:
    """From the history and the records, as pandas groups them."""
    history = pd.read_csv(folder / "history.csv")
    curves: dict[str, list[tuple[int, float]]] = {}
    for player, turns in history.groupby("player"):
        windows = turns.groupby(turns.step // WINDOW)
        at = ((windows.step.max() + 1) * BATCH).tolist()
        for name in turns.columns.drop(["step", "examples", "player"]):
            means = windows[name].mean().tolist()
            curves[f"train/{player}/{name}"] = list(zip(at, means, strict=True))
    for point in records[0].snapshots:
        for name, value in point["scores"].items():
            key = f"snapshots/{point['weights']}/{name}"
            curves.setdefault(key, []).append((point["examples"], value))
    for record in records:
        entry = {"Toy": "Toy", "Toy, wide": "Toy_wide"}[record.entry]
        for name in record.scores:
            value = record.value(name)
            assert value is not None
            curves[f"scores/{entry}/{name}"] = [(STEPS * BATCH, value)]
    return curves


def assert_holds(found: Curves, folder: Path, records: list[Record]) -> None:
    wanted = expected(folder, records)
    rate = found.get(log.RATE, [])
    assert all(value >= 0 for _, value in rate)
    assert [step for step, _ in rate] == sorted({step for step, _ in rate})
    assert found.keys() - {log.RATE} == wanted.keys()
    for key, curve in wanted.items():
        assert [step for step, _ in found[key]] == [step for step, _ in curve], key
        # TensorBoard keeps float32.
        assert [v for _, v in found[key]] == pytest.approx([v for _, v in curve], rel=1e-6), key


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
    metadata = _events(folder).summary_metadata["_hparams_/session_start_info"]
    hparams = HParamsPluginData.FromString(metadata.plugin_data.content).session_start_info.hparams
    assert {k: hparams[k].number_value or hparams[k].string_value for k in wanted} == {
        **wanted,
        "seed": "",  # 0
    }
    _, found = _mlflow(folder)
    assert {k: found.data.params[k] for k in wanted} == {k: str(v) for k, v in wanted.items()}
    assert (found.info.run_name, found.info.status) == (folder.name, "FINISHED")
    config: dict[str, Any] = {}
    for record in _wandb(folder):
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
    kind: type[CSVLogger],
    reason: str,
    logged: tuple[Path, list[Record]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, records = logged
    monkeypatch.setattr(csv_tool, "start", lambda run: (kind(run.folder), {}))
    monkeypatch.setattr(tool, "TIMEOUT", 0.2)
    notes: list[str] = []
    ours = run(tmp_path / "out", ("csv",), lambda e: notes.append(e.note) if e.note else None)
    assert notes == [f"csv: {reason}; nothing more of {folder.name} is logged there"]
    assert [(r.status, r.scores) for r in ours] == [(r.status, r.scores) for r in records]


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


def test_a_training_that_diverges_shows_where(tmp_path: Path) -> None:
    found = Log(("csv",), LoggedRun("p", "n", tmp_path, {}, steps=4, batch=2), lambda event: None)
    turn = {"examples": 0, "player": "a", "gradient_norm": 1.0, "learning_rate": 0.1}
    with found:
        found.end([{**turn, "step": 0, "loss": 2.0}, {**turn, "step": 1, "loss": math.nan}])
    frame = pd.read_csv(tmp_path / "csv" / "metrics.csv")
    assert frame.step.tolist() == [2, 4]
    assert frame["train/a/loss"].iloc[0] == 2
    assert math.isnan(frame["train/a/loss"].iloc[1])


def call(*arguments: str | Path) -> Result:
    registry.add_plugin_file(TOY)
    return CliRunner().invoke(main, [*map(str, arguments)], catch_exceptions=False)


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
    assert done.stderr == (
        "genbench: --logger wandb: no key; run wandb login, or set WANDB_MODE=offline\n"
    )
    assert not (tmp_path / "out").exists()


if __name__ == "__main__":
    die_ahead(Path(sys.argv[1]))
