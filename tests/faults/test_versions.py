"""Two versions of genbench on one folder: each reads its own, nothing is lost, one line is said."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from corridor import SUITE, TOY, call, comparable, in_this_process, write_suite

import genbench.suite
from genbench import experiment, registry, store
from genbench.devices.hardware import Hardware
from genbench.experiment import RunContext, stage_table
from genbench.store import records
from genbench.store.records import MARKER, RECORDS


def one_line(done: Any, *words: str) -> None:
    assert done.exit_code in (1, 2), done.output
    assert done.stderr.startswith("genbench: ")
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A finished run."""
    with in_this_process():
        done = call("run", write_suite(tmp_path), "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    return tmp_path / "out"


def run_again(out: Path) -> Any:
    with in_this_process():
        return call("run", out.parent / "toys.toml", "--out", out)


def rewrite(path: Path, **changes: Any) -> None:
    """Metadata as another version would write them, with a right checksum. ``None``: left out."""
    content = {**(store.read_metadata(path) or {}), **changes}
    content = {name: value for name, value in content.items() if value is not None}
    store.write_metadata(path, content)


def later(out: Path) -> None:
    """What a later version leaves in ``out``: rows of another schema, beside those of this one."""
    lines = []
    for line in (out / RECORDS).read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        del row["checksum"]
        row |= {"schema": records.SCHEMA + 1, "novelty": [1]}
        lines.append(json.dumps({**row, "checksum": store.fingerprint(row)}, ensure_ascii=False))
    store.write_text(out / RECORDS, "".join(f"{line}\n" for line in lines))
    records.seal(out, "toys", (RECORDS,))


READERS = {
    "table": ["table"],
    "verdict": ["verdict"],
    "report": ["report", "--out", "page.html"],
    "plot": ["plot", "--out", "plots"],
    "leaderboard": ["leaderboard", "points-grid"],
}


@pytest.mark.parametrize("command", READERS)
def test_rows_of_a_later_schema_are_told(command: str, out: Path) -> None:
    later(out)
    before = (out / RECORDS).read_bytes()
    one_line(call(*READERS[command], out), "schema 3; this genbench reads 2")
    assert (out / RECORDS).read_bytes() == before


def test_a_run_goes_on_in_a_folder_of_a_later_version(out: Path) -> None:
    """Nothing is trained again, and what the other version has stored of its own is left there."""
    before = comparable(out)
    stored = sorted((out / "runs").glob("*/records/*.json"))
    for path in stored:
        other = path.with_name("0123456789abcdef.json")
        other.write_bytes(path.read_bytes())
        rewrite(other, novelty=1, schema=3)
    trained = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    later(out)
    done = run_again(out)
    assert done.exit_code == 0, done.output
    assert "jobs are finished already" in done.stderr
    assert comparable(out) == before
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")} == trained
    assert [*(out / "runs").glob("*/records/0123456789abcdef.json")]


@pytest.mark.parametrize(
    "changes",
    [{"suite": None}, {"suite": 3}, {"files": [1]}, {"files": {"a": 1}}, {"files": None}],
)
def test_the_marker_of_another_version(changes: dict[str, Any], out: Path) -> None:
    """It says whose the folder is, or that somebody else's is; the rows are what they were."""
    before = comparable(out)
    rewrite(out / MARKER, **changes)
    done = run_again(out)
    if "suite" in changes:
        one_line(done, f"belongs to the suite {changes['suite']}")
    else:
        assert done.exit_code == 0, done.output
        assert comparable(out) == before


@pytest.mark.parametrize("changes", [{"identity": None}, {"training": 3}])
def test_the_description_of_a_training_by_another_version(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    training = ("train", "toy", "points-ring", "--examples", "64", "--out", run)
    assert call(*training).exit_code == 0
    rewrite(run / "run.json", **changes)
    if "identity" in changes:
        one_line(call(*training), str(run))
    one_line(call("sample", run, "--out", tmp_path / "s.npz"), str(run))


def job(tmp_path: Path) -> dict[str, Any]:
    registry.add_plugin_file(TOY)
    (tmp_path / "toys.toml").write_text(SUITE, encoding="utf-8")
    content = genbench.suite.Suite.from_toml(str(tmp_path / "toys.toml"))
    hardware = Hardware(Path("data"), "cpu")
    context = RunContext("toys", tmp_path / "out", hardware, content.samples, content.score)
    (tmp_path / "out").mkdir()
    (group,) = genbench.suite.trainings(content)
    return asdict(experiment.training_job(context, content, group, [TOY]))


JOBS: dict[str, Any] = {
    "a field more": lambda job: {**job, "novelty": 1},
    "a field less": lambda job: {k: v for k, v in job.items() if k != "content"},
    "content of nothing": lambda job: {**job, "content": {}},
    "content of lists": lambda job: {**job, "content": []},
    "hardware of another kind": lambda job: {
        **job,
        "content": {**job["content"], "hardware": {"device": "cpu", "tpus": 3}},
    },
    "resources of another kind": lambda job: {**job, "resources": {"tpus": 3}},
    "resources that are a list": lambda job: {**job, "resources": [1]},
    "code of another kind": lambda job: {**job, "code": {"novelty": 1}},
    "another command": lambda job: {**job, "command": "dream"},
    "other code of genbench": lambda job: {
        **job,
        "code": {
            **job["code"],
            "files": dict.fromkeys(job["code"]["files"], "0" * 64),
        },
    },
}


@pytest.mark.parametrize("name", JOBS)
def test_a_job_of_another_version_is_refused(name: str, tmp_path: Path) -> None:
    file = tmp_path / "job.json"
    file.write_text(json.dumps(JOBS[name](job(tmp_path))), encoding="utf-8")
    command = [sys.executable, "-m", "genbench", "job", str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode in (1, 2)
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("genbench: ")
    assert done.stdout == ""


def test_a_stage_of_a_later_version_lies_beside(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The samples of a sampler that has changed are others: both are kept."""
    before = comparable(out)
    count = len([*out.rglob("samples/*.safetensors")])
    changed = replace(stage_table.SAMPLES, version=stage_table.SAMPLES.version + 1)
    with monkeypatch.context() as patch:
        from genbench.experiment import stages

        patch.setattr(stages, "SAMPLES", changed)
        # Without the rows, which do not hold the version of what they rest on.
        for path in out.rglob("records/*.json"):
            path.unlink()
        assert run_again(out).exit_code == 0
    assert len([*out.rglob("samples/*.safetensors")]) > count
    for path in out.rglob("records/*.json"):
        path.unlink()
    assert run_again(out).exit_code == 0
    assert comparable(out) == before
