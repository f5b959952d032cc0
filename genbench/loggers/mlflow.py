"""MLflow: one experiment for each suite and one run for each training, at
``MLFLOW_TRACKING_URI``."""

from __future__ import annotations

import logging
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.logger import Logger
from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException

from genbench import store
from genbench.loggers.tool import LoggedRun

METADATA = "mlflow.json"
"""The file that holds MLflow's id of this training's run."""

BATCH = 1000
"""The most metrics in one request."""

STATUS = {"success": "FINISHED", "failed": "FAILED"}


class MLflowLogger(Logger):
    """Collects metrics, and sends them when it is saved."""

    def __init__(self, client: MlflowClient, experiment: str, run: str) -> None:
        self._client, self._experiment, self._run = client, experiment, run
        self._waiting: list[Metric] = []

    @property
    def name(self) -> str:
        return self._experiment

    @property
    def version(self) -> str:
        return self._run

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        now = round(1000 * time.time())
        self._waiting += [Metric(key, value, now, step or 0) for key, value in metrics.items()]

    def log_hyperparams(self, params: Any, *arguments: Any, **named: Any) -> None:
        for name, value in dict(params).items():
            self._client.log_param(self._run, name, value)

    def save(self) -> None:
        while self._waiting:
            self._client.log_batch(self._run, metrics=self._waiting[:BATCH])
            del self._waiting[:BATCH]

    def finalize(self, status: str) -> None:
        self.save()
        self._client.set_terminated(self._run, STATUS[status])


def start(run: LoggedRun) -> tuple[MLflowLogger, dict[str, int]]:
    logging.getLogger("mlflow").setLevel(logging.WARNING)  # it logs every table that it creates
    # Two jobs that create the tables of a new store at the same time break it.
    place = store.cache_path("mlflow")
    with nullcontext() if place is None else store.lock(place):
        client = MlflowClient()
        experiment = _experiment(client, run.project)
    found = _found(client, run.folder / METADATA)
    if found is not None:
        client.update_run(found, "RUNNING")
        keys = client.get_run(found).data.metrics
        held = {k: max(m.step for m in client.get_metric_history(found, k)) for k in keys}
        return MLflowLogger(client, run.project, found), held
    made = client.create_run(experiment, run_name=run.name).info.run_id
    logger = MLflowLogger(client, run.project, made)
    logger.log_hyperparams(run.parameters)
    store.write_metadata(run.folder / METADATA, {"run": made})
    return logger, {}


def _found(client: MlflowClient, path: Path) -> str | None:
    """The run that the metadata names, if the tracking server has it."""
    try:
        metadata = store.read_metadata(path)
        return None if metadata is None else str(client.get_run(metadata["run"]).info.run_id)
    except (MlflowException, store.Damaged):
        return None


def _experiment(client: MlflowClient, name: str) -> str:
    """Created by the first job that needs it; several machines may try at the same time."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    return str(experiment.experiment_id)
