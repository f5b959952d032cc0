"""The scripts of ``tests/performance``: benchmarks run, to be measured on an idle machine, and our
scores are the peers'."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
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
    rows = list(map(json.loads, done.stdout.splitlines()))
    assert {row["part"] for row in rows} == set(parts)
    assert all(row["ours"] > 0 and row["peer"] > 0 for row in rows)
    assert all(row["target"] is None for row in rows)


def test_a_row_is_printed_as_soon_as_it_is_measured(tmp_path: Path) -> None:
    """Whatever comes after it; on the terminal, and in a file."""
    (tmp_path / "metrics.py").write_text(
        "from ratio import Ratio\n"
        "def measure(tiny):\n"
        "    yield Ratio('quick', 1.0, 2.0, 's', False, 1.0)\n"
        "    raise SystemExit('slow')\n"
    )
    out = tmp_path / "measured.md"
    code = (
        "import runpy, sys; sys.path[:0] = sys.argv[1:3]; sys.argv[1:] = sys.argv[3:]; "
        "runpy.run_path('run.py', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path, SCRIPT.parent, "--out", out, "metrics"],
        capture_output=True,
        text=True,
        cwd=SCRIPT.parent,
    )
    assert done.stderr == "slow\n"
    assert "| quick | 1 | 2 | s | 0.50 | ≤ 1 |  |" in done.stdout
    assert out.read_text(encoding="utf-8") == done.stdout


def test_scores_agree_with_other_implementations() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT.with_name("agreement.py"), "--json"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert len(rows) == 10
    for row in rows:
        assert row["difference"] <= row["tolerance"], row


def test_the_script_for_a_gpu_runs_without_one(tmp_path: Path) -> None:
    """But for what it compiles, which takes a minute: ``gpu.py --tiny`` does that too."""
    script = SCRIPT.with_name("gpu.py")
    command = [sys.executable, script, "--tiny", "--out", tmp_path, "throughput", "archive"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    measured = (tmp_path / "measured.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in measured]
    assert [row["what"] for row in rows] == [
        f"tiny, {what}, {precision}"
        for precision in ("float32", "bfloat16")
        for what in ("training", "DDIM")
    ]
    assert all(row["value"] > 0 and row["peer"] > 0 and row["card"] == "CPU" for row in rows)
    assert done.stdout.count("| CPU, ") == len(rows)
    assert tarfile.is_tarfile(tmp_path / "results.tar.gz")
    refused = subprocess.run([*command[:2], *command[3:]], capture_output=True, text=True)
    assert refused.returncode == 2
    assert "--tiny tries the script without one" in refused.stderr
