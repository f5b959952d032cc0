"""The composition root: entry → train → sample → evaluate → Record.

Each stage is stored under its identity and done once. What a job leaves in the output folder:

    runs/MODEL-seedS-ID/training.json, history.csv, snapshots/   what the loop left
    runs/MODEL-seedS-ID/samples/ID.safetensors                   one file a sampling
    runs/MODEL-seedS-ID/scores/ID.json                           one file a scoring
    runs/MODEL-seedS-ID/records/ID.json                          one file an entry
"""

from __future__ import annotations

from genbench.runner.bench import Bench, Host, choose_device
from genbench.runner.jobs import finished, lost, run_job
from genbench.runner.real import finished_real, real_record
from genbench.runner.stages import check_sampling, draw, open_trained, train
from genbench.runner.timing import seconds_per_sample

__all__ = [
    "Bench",
    "Host",
    "check_sampling",
    "choose_device",
    "draw",
    "finished",
    "finished_real",
    "lost",
    "open_trained",
    "real_record",
    "run_job",
    "seconds_per_sample",
    "train",
]
