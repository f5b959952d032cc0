"""What it costs to have a process for each job: many that compute nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from ratio import Ratio

from genbench import experiment
from genbench.api import Job, ProgressCallback
from genbench.devices.hardware import Hardware
from genbench.executors import local
from genbench.experiment import RunContext
from genbench.suite import Suite

SUITE = Suite(
    name="nothing",
    dataset="points-ring",
    seeds=[0],
    examples=64,
    samples=64,
    score={"extractor": "identity", "reference": "points-ring:test", "metrics": ["precision"]},
    entries={"VAE": {"model": "vae"}},
)


def nothing(job: Job, report: ProgressCallback) -> str:
    """In place of a training."""
    return json.dumps([])


def measure(tiny: bool = False) -> list[Ratio]:
    """Seconds a job, the server's start included, against a process each that imports torch."""
    count, imports = (2, 1) if tiny else (100, 5)
    local.run_as_rank = nothing  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        context = RunContext.of(SUITE, Path(folder), Hardware(Path(folder), "cpu"))
        job = experiment.real_job(context, SUITE, [])
        jobs = [replace(job, label=str(number)) for number in range(count)]
        start = time.perf_counter()
        ended = list(local.LocalExecutor(workers=1).execute(jobs, lambda job, event: None))
        ours = (time.perf_counter() - start) / count
    assert [rows for _, rows in ended] == [[]] * count
    start = time.perf_counter()
    for _ in range(imports):
        subprocess.run([sys.executable, "-c", "import genbench.experiment"], check=True)
    theirs = (time.perf_counter() - start) / imports
    what = f"a process each for {count} jobs, against one that imports torch"
    return [Ratio(what, ours, theirs, "s/job", False, 0.1)]
