"""The scripts of ``tests/performance``: benchmarks run, to be measured on an idle machine, and our
scores are the peers'."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent / "run.py"


def test_the_benchmarks_run() -> None:
    """All but the harness's, which runs the quickstart."""
    parts = ["networks", "loop", "metrics", "reading", "embedding", "quality", "jobs", "records"]
    done = subprocess.run(
        [sys.executable, SCRIPT, "--tiny", "--json", *parts],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert {row["part"] for row in rows} == set(parts)
    assert all(row["ours"] > 0 and row["peer"] > 0 for row in rows)
    assert all(row["target"] is None for row in rows)


def test_scores_agree_with_other_implementations() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT.with_name("agreement.py"), "--json"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert len(rows) == 10
    for row in rows:
        assert row["difference"] <= row["tolerance"], row
