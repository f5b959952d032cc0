"""A small suite with loggers, and what each tool holds of it, by the tool's own reader.

Run as a script, this file is a training that is killed ahead of its last checkpoint.
"""

from __future__ import annotations

import json
import math
import os
import signal
import struct
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from genbench import experiment, registry, store, suite
from genbench.api import ProgressEvent
from genbench.cli import main
from genbench.devices.hardware import Hardware
from genbench.devices.ranks import Ranks
from genbench.experiment import RunContext
from genbench.loggers import LOGGERS, Log, log
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


def call(*arguments: str | Path) -> Result:
    registry.add_plugin_file(TOY)
    return CliRunner().invoke(main, [*map(str, arguments)], catch_exceptions=False)


def read_csv(folder: Path) -> Curves:
    frame = pd.read_csv(folder / "logs" / "csv" / "metrics.csv")
    return {
        name: list(zip(frame.step[there], frame[name][there], strict=True))
        for name in frame.columns.drop("step")
        for there in [frame[name].notna()]
    }


def read_tensorboard(folder: Path) -> Curves:
    events = tensorboard_events(folder)
    return {
        tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }


def tensorboard_events(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "logs" / "tensorboard"), {"scalars": 0})
    events.Reload()
    return events


def read_mlflow(folder: Path) -> Curves:
    client, found = mlflow_run(folder)
    return {
        key: [(m.step, m.value) for m in client.get_metric_history(found.info.run_id, key)]
        for key in found.data.metrics
    }


def mlflow_run(folder: Path) -> tuple[Any, Any]:
    from mlflow import MlflowClient

    client = MlflowClient()
    metadata = store.read_metadata(folder / "logs" / "mlflow.json")
    assert metadata is not None
    return client, client.get_run(metadata["run"])


def read_wandb(folder: Path) -> Curves:
    """The last of its folders: offline, that is what syncing leaves of a run."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for record in wandb_records(folder):
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


def wandb_records(folder: Path) -> list[Any]:
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


if __name__ == "__main__":
    die_ahead(Path(sys.argv[1]))
