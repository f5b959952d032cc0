"""The composition root: entry → train → sample → evaluate → Record.

Each stage is stored under its identity and done once: see ``stage_table``. What a job leaves in the
output folder:

    runs/MODEL-seedS-ID/run.json                                 what is trained in it
    runs/MODEL-seedS-ID/training.json, history.csv, snapshots/   what the loop left
    runs/MODEL-seedS-ID/samples/ID.safetensors                   one file a sampling
    runs/MODEL-seedS-ID/scores/ID.json                           one file a scoring
    runs/MODEL-seedS-ID/neighbours/ID.safetensors                samples beside training samples
    runs/MODEL-seedS-ID/trajectories/ID.safetensors              noise that becomes samples, …
    runs/MODEL-seedS-ID/likelihood/ID.json                       where a suite asks for it
    runs/MODEL-seedS-ID/timing/ID.json                           seconds a sample
    runs/MODEL-seedS-ID/records/ID.json                          one file an entry
    runs/MODEL-seedS-ID/logs/                                    where loggers follow the training
    runs/real/                                                   the same of the real row, and of codecs

Every file but the logs is metadata, or has them beside it, with a checksum: see ``repair``.
"""

from __future__ import annotations

from genbench.devices.hardware import STRATEGIES, Hardware
from genbench.experiment.conditions import prompted
from genbench.experiment.context import RunContext, open_cached
from genbench.experiment.estimate import SamplingCost, TrainingCost, sampling_cost, training_cost
from genbench.experiment.jobs import finished, lost, repair_all, run_job
from genbench.experiment.logs import open_log
from genbench.experiment.real import finished_real, run_real
from genbench.experiment.shown import forward, reverse
from genbench.experiment.stages import check_sampling, draw, stored_seconds
from genbench.experiment.trained import open_trained, train
from genbench.experiment.work import (
    read_job,
    real_job,
    run_here,
    run_task,
    timing_job,
    training_job,
)

__all__ = [
    "STRATEGIES",
    "Hardware",
    "RunContext",
    "SamplingCost",
    "TrainingCost",
    "check_sampling",
    "draw",
    "finished",
    "finished_real",
    "forward",
    "lost",
    "open_cached",
    "open_log",
    "open_trained",
    "prompted",
    "read_job",
    "real_job",
    "repair_all",
    "reverse",
    "run_here",
    "run_job",
    "run_real",
    "run_task",
    "sampling_cost",
    "stored_seconds",
    "timing_job",
    "train",
    "training_cost",
    "training_job",
]
