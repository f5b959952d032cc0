"""Two trainings with every logger, one of which was killed, for the tests of this folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb

from genbench import registry
from genbench.loggers import LOGGERS
from genbench.store.records import Record

sys.path.insert(0, str(Path(__file__).parent))

import toy_logs
from toy_logs import BATCH, TOY, brisk, read_csv, run


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
    command = [sys.executable, toy_logs.__file__, str(out)]
    died = subprocess.run(command, capture_output=True, text=True, env=alone)
    assert died.returncode == -signal.SIGKILL, died.stderr
    (folder,) = (out / "runs").glob("toy*")
    assert max(s for s, _ in read_csv(folder)["train/mover/loss"]) == 15 * BATCH  # 17, in windows
    notes: list[str] = []
    records = run(out, tuple(LOGGERS), lambda e: notes.append(e.note) if e.note else None)
    assert notes == []
    return folder, records
