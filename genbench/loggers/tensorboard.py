"""``logs/tensorboard``: event files, one for each process that has trained or scored."""

from __future__ import annotations

from pathlib import Path

from lightning_fabric.loggers.tensorboard import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

from genbench.loggers.log import RATE
from genbench.loggers.tool import LoggedRun


def start(run: LoggedRun) -> tuple[TensorBoardLogger, dict[str, int]]:
    """TensorBoard shows hyperparameters only beside a metric. They are logged beside the rate,
    which every training has and which is 0 at its start."""
    held = _held(run.folder / "tensorboard")
    logger = TensorBoardLogger(run.folder, "tensorboard", version="")
    if RATE not in held:
        logger.log_hyperparams(dict(run.parameters), {RATE: 0.0}, 0)
        held[RATE] = 0
    return logger, held


def _held(folder: Path) -> dict[str, int]:
    if not folder.is_dir():
        return {}
    events = EventAccumulator(str(folder), {SCALARS: 1})  # the last of each
    events.Reload()
    return {tag: events.Scalars(tag)[-1].step for tag in events.Tags()[SCALARS]}
