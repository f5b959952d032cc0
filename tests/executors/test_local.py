"""The local executor: each job in a process of its own, whatever it does there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import probe
import pytest
import torch

import genbench
from genbench import experiment
from genbench.api import Answers, Failure, Job, Observer, Resources
from genbench.api.errors import GenbenchError
from genbench.devices import launch, processes
from genbench.devices.hardware import Hardware
from genbench.executors import local
from genbench.executors.local import LocalExecutor
from genbench.experiment import RunContext
from genbench.store.records import Record

PLUGINS = Path(__file__).parents[1] / "plugins"


def suite(**entries: genbench.Entry) -> genbench.Suite:
    return genbench.Suite(
        name="small",
        dataset="points-ring",
        seeds=[0],
        examples=64,
        samples=64,
        score=genbench.Score(
            extractor="identity",
            reference="points-ring:test",
            metrics=["frechet_distance"],
            snapshots={"count": 1, "samples": 64, "metrics": ("frechet_distance",)},
        ),
        entries=entries or {"VAE": genbench.Entry("vae")},
    )


@pytest.fixture
def context(tmp_path: Path) -> RunContext:
    return RunContext.of(suite(), tmp_path, Hardware(Path("data"), "cpu"))


@pytest.fixture
def jobs(context: RunContext, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes jobs that do what ``probe`` has under their names."""
    monkeypatch.setattr(local, "run_as_rank", probe.do)
    whole = experiment.real_job(context, suite(), [])

    def make(*labels: str, **resources: Any) -> list[Job]:
        return [
            replace(
                whole,
                label=label,
                content={**whole.content, "do": label.split()[0]},
                resources=Resources(**resources),
            )
            for label in labels
        ]

    return make


def answers(jobs: Sequence[Job], workers: int = 1) -> dict[str, Any]:
    executor = LocalExecutor(workers=workers)
    return {job.label: answer for job, answer in executor.execute(jobs, lambda job, event: None)}


def lines(context: RunContext) -> list[list[str]]:
    return [line.split()[:2] for line in (context.out / "log").read_text().splitlines()]


DEATHS = {
    "die": "its process died (exit code 3)",
    "killed": "its process died (exit code -9)",
    "leave": "SystemExit: no reason",
    "hopeless": "Hopeless: its message cannot be read",
    "helper": "its process died (exit code 4)",
    "own_group": "its process died (exit code 5)",
    "unreadable": "AttributeError: Can't pickle",
}


def test_however_a_job_ends_it_costs_its_own_rows(jobs: Any) -> None:
    begin = time.monotonic()
    found = answers([*jobs(*DEATHS), *jobs("answer", "two_of_it")], workers=2)
    assert time.monotonic() - begin < 200  # nobody waited for a helper
    assert {found.pop(label)[0]["label"] for label in ("answer", "two_of_it")} == {
        "answer",
        "two_of_it",
    }
    assert found.keys() == DEATHS.keys()
    for label, failure in found.items():
        assert isinstance(failure, Failure)
        assert failure.reason.startswith(DEATHS[label]), failure
        assert "\n" not in failure.reason


def test_where_nothing_can_be_forked(jobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a new interpreter, which is all the same."""
    monkeypatch.setattr(processes, "FORKS", False)
    chosen = ("killed", "hopeless", "helper")
    found = answers([*jobs(*chosen), *jobs("state", threads=2)], workers=2)
    for label in chosen:
        assert found[label].reason.startswith(DEATHS[label])
    (state,) = found["state"]
    assert (state["main"], state["folder"]) == (None, os.getcwd())
    assert (state["threads"], state["dtype"]) == (2, "torch.float32")


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (probe.second_is_killed, r"rank 1 of 2 died \(exit code -9\)"),
        (probe.second_stops, "the first has waited"),
    ],
)
def test_a_rank_that_says_no_more(function: Any, reason: str) -> None:
    """A killed one is told at once; a stopped one when the others give up, and ended."""
    begin = time.monotonic()
    with launch.Launch(function, world=2, environment=os.environ) as ranks:
        while not ranks.ended:
            launch.wait_for([ranks])
            ranks.receive(lambda event: None)
        with pytest.raises(GenbenchError, match=reason):
            ranks.result()
    assert time.monotonic() - begin < 200


def test_a_job_that_dies_is_run_once_more(jobs: Any, context: RunContext) -> None:
    assert answers(jobs("dies_once"))["dies_once"] == [{"label": "dies_once"}]
    assert lines(context) == [["begin", "dies_once"]] * 2 + [["end", "dies_once"]]


def test_nothing_of_a_job_is_left_to_the_next(
    jobs: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIVEN", "here")
    found = answers([*jobs("leave_behind"), *jobs("state", threads=2)])
    (state,) = found["state"]
    assert state == {
        "main": None,
        "plugins": [],
        "folder": str(tmp_path),
        "OMP_NUM_THREADS": "2",
        "threads": 2,
        "cuda": False,
        "dtype": "torch.float32",
        "given": "here",
    }
    assert os.environ["GIVEN"] == "here"


def test_one_that_is_to_be_alone_is(jobs: Any, context: RunContext) -> None:
    first, last = jobs("slow a", "slow b", "slow c", "slow d"), jobs("slow alone", alone=True)
    answers([*first[:2], *last, *first[2:]], workers=2)
    said = lines(context)
    labels = (context.out / "log").read_text().splitlines()
    alone = [number for number, line in enumerate(labels) if "slow alone" in line]
    assert alone == [4, 5]
    assert [kind for kind, _ in said[:2]] == ["begin", "begin"]  # the others are not


def test_closing_ends_what_runs(jobs: Any, context: RunContext) -> None:
    """As an interrupt does; a signal that a job ignores does not keep it."""
    running = LocalExecutor(workers=2).execute(jobs("for_ever", "answer"), lambda job, event: None)
    next(running)
    running.close()
    pids = [int(line.split()[-1]) for line in (context.out / "log").read_text().splitlines()]
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_a_job_that_hangs_at_its_exit(jobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "LINGER", 0.5)
    assert answers(jobs("hangs_at_exit"))["hangs_at_exit"] == [{"label": "hangs_at_exit"}]


def test_each_worker_has_its_devices(jobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(local.VISIBLE, "4,5,6")
    cuda: dict[str, Any] = {"device": "cuda", "devices": 2}
    given = [
        replace(job, content={**job.content, "hardware": {**job.content["hardware"], **cuda}})
        for job in jobs("visible a", "visible b", devices=2)
    ]
    assert answers(given, workers=2) == {
        "visible a": [{"visible": "4,5"}],
        "visible b": [{"visible": "6,4"}],
    }


def test_a_changed_plugin_is_refused(context: RunContext, tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text("")
    job = experiment.real_job(context, suite(), [plugin])
    plugin.write_text("print('changed')")
    assert answers([job])["real"] == Failure(
        f"{plugin} has changed since it was loaded: start again"
    )


def test_a_job_is_plain_data_that_the_command_line_runs(
    context: RunContext, tmp_path: Path
) -> None:
    """To the rows that the executor has of it."""
    content = suite()
    (group,) = genbench.suite.trainings(content)
    job = experiment.training_job(context, content, group, [])
    (tmp_path / "job.json").write_text(json.dumps(asdict(job)), encoding="utf-8")
    command = ["job", str(tmp_path / "job.json"), "--out", str(tmp_path / "rows.json")]
    subprocess.run([sys.executable, "-m", "genbench", *command], check=True)
    (row,) = json.loads((tmp_path / "rows.json").read_text(encoding="utf-8"))
    elsewhere = replace(job, content={**job.content, "out": str(tmp_path / "elsewhere")})
    (tmp_path / "elsewhere").mkdir()
    (other,) = answers([elsewhere])[job.label]
    assert Record(**row).scores == Record(**other).scores
    assert row["identities"] == other["identities"]
    assert row["status"] == "done"


def test_what_is_no_job_is_told(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text('{"label": "x"}', encoding="utf-8")
    command = [sys.executable, "-m", "genbench", "job", str(tmp_path / "job.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "job.json holds no job" in done.stderr
    assert done.stderr.count("\n") == 1


class Silent:
    """An executor that ends before it has answered for its jobs."""

    def __init__(self, *, workers: int | None = None) -> None: ...

    def execute(self, jobs: Sequence[Job], observer: Observer) -> Answers:
        yield from ()


class Broken(Silent):
    """An executor that cannot reach what it sends its jobs to."""

    def execute(self, jobs: Sequence[Job], observer: Observer) -> Answers:
        raise ConnectionError("no queue")
        yield


@pytest.mark.parametrize(
    ("executor", "reason"),
    [
        (Silent, "its executor gave no answer"),
        (Broken, "its executor failed: ConnectionError: no queue"),
    ],
)
def test_a_job_without_an_answer_is_a_failed_row(
    executor: type[Silent], reason: str, tmp_path: Path
) -> None:
    genbench.registry.executors.add(executor.__name__, executor)
    results = genbench.run(suite(), tmp_path / "out", executor=executor.__name__, progress=False)
    assert [record.entry for record in results.records] == ["real", "VAE"]
    assert {(record.status, record.reason) for record in results.records} == {("failed", reason)}


REASONS = {
    "exits": "SystemExit: no reason",
    "exits at once": "its process died (exit code 3)",
    "hopeless": "Hopeless: its message cannot be read",
    "unreadable": "Unreadable: its message cannot be read",
    "helper": "its process died (exit code 4)",
    "surrogate": "ValueError: no ? text,?[31m",
    "interrupt": "KeyboardInterrupt:",
    "its own disk": "the plugin's disk is full",
    "descriptors": "OSError: [Errno 24]",
    "warns": "UserWarning: not so bad",
}


def test_a_reckless_model_changes_no_number_of_its_neighbour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nor does it end the run, or say anything: its reason is in its row."""
    reckless = {
        end: genbench.Entry("reckless", options={"end": end}) for end in ("left behind", *REASONS)
    }
    plugins = [PLUGINS / "reckless.py", PLUGINS / "rude.py"]
    with genbench.registry.kept_surroundings():
        genbench.registry.add_plugin_file(plugins[0])
    randn_like = torch.randn_like
    monkeypatch.setattr(torch, "randn_like", randn_like)  # which rude.py changes here, too
    monkeypatch.chdir(tmp_path)
    toy = {"Toy": genbench.Entry("toy")}
    options: dict[str, Any] = {"plugins": plugins, "progress": False, "jobs": 1}
    here = os.getcwd(), dict(os.environ)
    rude = {"rude": genbench.Entry("rude")}
    beside = genbench.run(suite(**reckless, **rude, **toy), "beside", **options)
    assert "Traceback" not in capfd.readouterr().err
    assert "in exhaust_descriptors" in "".join(
        file.read_text(encoding="utf-8") for file in tmp_path.glob("beside/runs/*/error.txt")
    )
    assert (os.getcwd(), dict(os.environ)) == here
    without = genbench.run(suite(**toy), "without", **options)
    rows = {record.entry: record for record in beside.records}
    for record in without.records:
        assert rows[record.entry].scores == record.scores
        assert rows[record.entry].snapshots == record.snapshots
        assert record.status == "done"
    for name, reason in REASONS.items():
        assert rows[name].status == "failed"
        assert str(rows[name].reason).startswith(reason)
    assert torch.get_default_dtype() == torch.float32


SCRIPT = """
import genbench, pathlib, threading, torchmetrics
from genbench.api.errors import UsageError
print("the script")
def mine(spec):
    from baselines.vae import vae
    return vae(spec)
class Spot(torchmetrics.Metric):
    needs = frozenset({"features"})
    sides = frozenset({"generated"})
    outputs = {"spot": genbench.Output(True, "spot", "other scores")}
    full_state_update = False
    def update(self, features, side): ...
    def compute(self):
        return {"spot": genbench.Estimate(4.0)}
genbench.registry.models.add("named", mine)
genbench.registry.metrics.add("spot", Spot)
suite = genbench.Suite(
    dataset="points-ring", seeds=[0], examples=64, samples=64,
    score=genbench.Score(
        extractor="identity", reference="points-ring:test", metrics=["frechet_distance", "spot"],
        snapshots={"count": 1, "samples": 64, "metrics": ("frechet_distance",)},
    ),
    entries={"mine": genbench.Entry(mine), "named": genbench.Entry("named")},
)
run = genbench.run(suite, "out", progress=False)
print(dict(run.status), *[r.reason for r in run.records if r.reason])
print([r.value("spot") for r in run.records])
def changes():
    return {f: f.stat().st_mtime_ns for f in pathlib.Path("out").rglob("*.json")}
before = changes()
genbench.run(suite, "out", progress=False)
print("nothing again" if changes() == before else "again")
genbench.registry.datasets.add("stuck", lambda argument, data_dir, held=threading.Lock(): None)
try:
    genbench.run(suite, "out", progress=False)
except UsageError as error:
    print(str(error).count("\\n"), "plugins=[...]" in str(error))
"""


def test_a_script_without_a_guard_runs_once(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    command = [sys.executable, "-X", "dev", "-W", "ignore", "-W", "always::ResourceWarning"]
    command.append("script.py")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "the script",
        "{'done': 3}",
        "[4.0, 4.0, 4.0]",
        "nothing again",
        "0 True",
    ]
    assert "ResourceWarning" not in done.stderr
