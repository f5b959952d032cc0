"""The composition root: entry → train → sample → evaluate → Record.

Each stage is stored under its identity and done once: see ``stage_table``. What a job leaves in the
output folder:

    runs/MODEL-seedS-ID/run.json                                 what is trained in it
    runs/MODEL-seedS-ID/training.json, history.csv, snapshots/   what the loop left
    runs/MODEL-seedS-ID/samples/ID.safetensors                   one file a sampling
    runs/MODEL-seedS-ID/scores/ID.json                           one file a scoring
    runs/MODEL-seedS-ID/neighbours/ID.safetensors                samples beside training samples
    runs/MODEL-seedS-ID/asked/ID.safetensors                     samples by what was asked for
    runs/MODEL-seedS-ID/trajectories/ID.safetensors              noise that becomes samples, …
    runs/MODEL-seedS-ID/likelihood/ID.json                       where a suite asks for it
    runs/MODEL-seedS-ID/timing/ID.json                           seconds a sample
    runs/MODEL-seedS-ID/records/ID.json                          one file an entry
    runs/MODEL-seedS-ID/logs/                                    where loggers follow the training
    runs/real/                                    the real row, and those of controls and codecs

Every file but the logs is metadata, or has them beside it, with a checksum: see ``repair``.
"""

from __future__ import annotations

from genbench.experiment.conditions import prompted
from genbench.experiment.context import RunContext, open_cached
from genbench.experiment.controls import finished_baselines, run_baselines
from genbench.experiment.jobs import finished, lost, repair_all, run_job
from genbench.experiment.stages import check_sampling, stored_seconds
from genbench.experiment.trained import train
from genbench.experiment.work import real_job, timing_job, training_job

__all__ = [
    "RunContext",
    "check_sampling",
    "finished",
    "finished_baselines",
    "lost",
    "open_cached",
    "prompted",
    "real_job",
    "repair_all",
    "run_baselines",
    "run_job",
    "stored_seconds",
    "timing_job",
    "train",
    "training_job",
]
