"""The benchmarks of ``tests/performance`` run; what they measure is for an idle machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "performance" / "run.py"


def test_the_benchmarks_run() -> None:
    """All but the harness's, which is the quickstart's own."""
    done = subprocess.run(
        [sys.executable, SCRIPT, "--tiny", "--json", "networks", "loop", "metrics"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert {row["part"] for row in rows} == {"networks", "loop", "metrics"}
    assert all(row["ours"] > 0 and row["peer"] > 0 for row in rows)
    assert all(row["target"] is None for row in rows)
