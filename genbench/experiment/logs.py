"""What loggers receive of a training: its parameters, and the scores that follow it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench.api import ProgressCallback
from genbench.devices.hardware import Hardware
from genbench.devices.ranks import Ranks
from genbench.loggers import Log, LoggedRun
from genbench.store.records import Record
from genbench.suite import Training
from genbench.training.history import COLUMNS

if TYPE_CHECKING:
    import pandas as pd


def open_log(
    ranks: Ranks,
    hardware: Hardware,
    training: Training,
    folder: Path,
    project: str,
    loggers: Sequence[str],
    report: ProgressCallback,
) -> Log:
    """The log of the training in ``folder``; only rank 0 sends to the tools."""
    run = LoggedRun(
        project=project,
        name=folder.resolve().name,
        folder=folder / "logs",
        parameters=_parameters(hardware, training),
        steps=training.steps,
        batch=training.batch,
    )
    return Log(loggers if ranks.rank == 0 else (), run, report)


def rows_of(history: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as the loop had them; a NaN of a column that only other turns have is left out."""
    return [
        {str(name): value for name, value in row.items() if name in COLUMNS or value == value}
        for row in history.astype({"player": str}).to_dict("records")
    ]


def log_snapshots(log: Log, curve: Sequence[Mapping[str, Any]]) -> None:
    """The scores along training, as ``Record.snapshots`` has them."""
    for point in curve:
        log.add(("snapshots", point["weights"]), point["scores"], point["examples"])


def log_scores(log: Log, record: Record) -> None:
    """The final scores of an entry, of which several may share the training."""
    scores = {name: score["value"] for name, score in record.scores.items()}
    log.add(("scores", record.entry), scores, record.conditions["snapshot"])
    log.wait()  # before the record says that there is no more to do


def _parameters(hardware: Hardware, training: Training) -> dict[str, Any]:
    """Every field of the training, its options by ``options/NAME``, and where it runs."""
    fields = asdict(training)
    options = {f"options/{name}": value for name, value in fields.pop("options").items()}
    return (
        fields
        | options
        | {
            "device": hardware.device,
            "devices": hardware.world,
            "torch": version("torch"),
            "genbench": version("genbench"),
        }
    )
