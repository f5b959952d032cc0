"""What the harness itself costs: its overhead over the stages, and two jobs against one."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ratio import Ratio

STOPWATCH = Path(__file__).with_name("stopwatch.py")


def measure(tiny: bool = False) -> Iterator[Ratio]:
    """The quickstart at one job over the sum of its stages; and its trainings' images a second at
    two jobs over one job's."""
    budget = ["--set", "examples=640", "--set", "samples=64", "--set", "score.snapshots.samples=64"]
    small = [*budget, "--set", "score.snapshots.count=1"] if tiny else []
    with tempfile.TemporaryDirectory() as folder:
        one, stages = run(Path(folder) / "one", 1, small)
        spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in stages.items())
        yield Ratio("quickstart, one job", one, sum(stages.values()), "s", False, 1.1, spent)
        two, _ = run(Path(folder) / "two", 2, small)
        yield Ratio("quickstart, two jobs over one", 1 / two, 1 / one, "1/s", True, 1.7)


def run(out: Path, jobs: int, options: list[str]) -> tuple[float, dict[str, float]]:
    """Seconds from the command to the report, and those of each stage, summed over processes."""
    log = out.with_suffix(".log")
    command = ["run", "quickstart", "--out", str(out), "--jobs", str(jobs), *options]
    environment = os.environ | {"GENBENCH_STOPWATCH": str(log)}
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "genbench", *command, "--plugin", str(STOPWATCH)],
        check=True,
        capture_output=True,
        env=environment,
    )
    seconds = time.perf_counter() - start
    stages: dict[str, float] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        stage, spent = line.split()
        stages[stage] = stages.get(stage, 0.0) + float(spent)
    return seconds, stages
