"""Weights & Biases: one project for each suite and one run for each training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import wandb
from lightning_fabric.loggers.logger import Logger

from genbench import store
from genbench.loggers.tool import LoggedRun

METADATA = "wandb.json"
"""The run's id, and the last step that was logged of each key."""

STEP = "examples"
"""The x-axis of every other key. W&B's own step only grows, and scores of snapshots come after
the training."""


class WandbLogger(Logger):
    """Collects metrics, and logs them when it is saved. The metadata are written first: a kill
    between the two loses the latest values, but no curve goes back."""

    def __init__(self, run: Any, path: Path, held: dict[str, int]) -> None:
        self._run, self._path, self._held = run, path, held
        self._waiting: list[dict[str, float]] = []

    @property
    def name(self) -> str:
        return str(self._run.project)

    @property
    def version(self) -> str:
        return str(self._run.id)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self._waiting.append({**metrics, STEP: step or 0})
        self._held.update(dict.fromkeys(metrics, step or 0))

    def log_hyperparams(self, params: Any, *arguments: Any, **named: Any) -> None:
        self._run.config.update(dict(params), allow_val_change=True)

    def save(self) -> None:
        store.write_metadata(self._path, {"run": self._run.id, "held": self._held})
        for row in self._waiting:
            self._run.log(row)
        self._waiting.clear()

    def finalize(self, status: str) -> None:
        self.save()
        self._run.finish(exit_code=0 if status == "success" else 1)


def start(run: LoggedRun) -> tuple[WandbLogger, dict[str, int]]:
    """Offline, a run cannot be resumed, and a synced folder replaces the run of its id. So
    everything is logged again from the start."""
    path = run.folder / METADATA
    try:
        metadata = store.read_metadata(path) or {}
    except store.Damaged:
        metadata = {}
    opened = wandb.init(
        project=run.project,
        name=run.name,
        id=metadata.get("run"),
        resume="allow",
        reinit="create_new",
        settings=wandb.Settings(console="off", silent=True),
    )
    held = dict(metadata.get("held", {})) if opened.resumed else {}
    opened.define_metric(STEP)
    opened.define_metric("*", step_metric=STEP)
    logger = WandbLogger(opened, path, dict(held))
    logger.log_hyperparams(run.parameters)
    return logger, held
