"""``logs/csv/metrics.csv``: one row for each point, one column for each key, and ``step``."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from lightning_fabric.loggers.csv_logs import CSVLogger

from genbench.loggers.tool import LoggedRun


def start(run: LoggedRun) -> tuple[CSVLogger, dict[str, int]]:
    """Fabric's logger deletes an earlier file when it starts, so the rows of that file are read
    first and logged again. It does not log hyperparameters; ``run.json`` has them."""
    file = run.folder / "csv" / "metrics.csv"
    rows = _rows(file)
    file.unlink(missing_ok=True)
    # The file is written after every delivery, so not also after a number of steps.
    logger = CSVLogger(run.folder, "csv", version="", flush_logs_every_n_steps=sys.maxsize)
    held: dict[str, int] = {}
    for row in rows:
        step = int(row.pop("step"))
        metrics = {name: float(value) for name, value in row.items() if value}
        logger.log_metrics(dict(metrics), step)
        held.update(dict.fromkeys(metrics, step))
    logger.save()
    return logger, held


def _rows(file: Path) -> list[dict[str, str]]:
    """The rows that are complete."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    whole = text[: text.rfind("\n") + 1]
    return list(csv.DictReader(whole.splitlines()))
