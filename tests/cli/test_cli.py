"""The command line as a stranger uses it: one corridor, and every mistake in one line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from genbench import registry
from genbench.cli import main
from genbench.store.records import read_records

TOY = Path(__file__).parents[1] / "plugins" / "toy.py"

SUITE = """
title = "Toys"
dataset = "points-ring"
seeds = [0, 1]
examples = 640
samples = 128

[score]
extractor = "identity"
reference = "points-ring:test"
metrics = ["frechet_distance", "recall", "coverage", "mode_coverage", "inception_score"]
snapshots = { count = 2, samples = 64 }

[train]
batch = 32

[entries.Toy]
model = "toy"

[entries."Toy, wide"]
model = "toy"
sample = { scale = 0.5 }
"""

FAULTS = """
[entries.Breaks]
model = "toy"
options = { breaks_at = 15 }

[entries."Fails in training"]
model = "faulty"
options = { where = "train" }

[entries."Fails in sampling"]
model = "faulty"
options = { where = "sample" }
snapshot_sample = {}

[entries."Gives NaN"]
model = "faulty"
options = { where = "nowhere" }

[entries."Does not fit"]
model = "faulty"
options = { where = "fit" }
"""


def call(*arguments: str | Path) -> Result:
    """The command line in this process, where the toys are registered once and for all."""
    registry.add_plugin_file(TOY)
    return CliRunner().invoke(main, [*map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def toys(tmp_path: Path) -> Path:
    path = tmp_path / "toys.toml"
    path.write_text(SUITE, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the suite came to."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "toys.toml").write_text(SUITE, encoding="utf-8")
    done = call("run", folder / "toys.toml", "--out", folder / "out", "--plugin", TOY)
    assert done.exit_code == 0, done.output
    assert "Toy, wide" in done.output
    return folder / "out"


def test_the_corridor(out: Path) -> None:
    records = read_records(out)
    assert [(r.entry, r.seed) for r in records] == [
        ("real", None),
        ("Toy", 0),
        ("Toy", 1),
        ("Toy, wide", 0),
        ("Toy, wide", 1),
    ]
    real, narrow, _, wide, _ = records
    assert narrow.status == wide.status == "done"
    assert real.value("mode_coverage") == 1
    assert real.scores["frechet_distance"]["deviation"] > 0  # type: ignore[operator]
    # Trained once, sampled twice.
    assert narrow.identities["training"] == wide.identities["training"]
    assert narrow.identities["sampling"] != wide.identities["sampling"]
    assert len([p for p in (out / "runs").iterdir() if p.name.startswith("toy")]) == 2
    assert [(s["examples"], s["weights"]) for s in narrow.snapshots] == [
        (320, "ema"),
        (320, "raw"),
        (640, "ema"),
        (640, "raw"),
    ]
    assert narrow.cost["nfe"] == 1
    assert narrow.cost["parameters"] == 2
    assert narrow.cost["seconds_per_sample"] is not None
    assert "needs logits" in narrow.skipped_metrics["inception_score"]
    assert (out / "table.md").read_text(encoding="utf-8").count("Toy, wide")
    assert "<html" in (out / "report.html").read_text(encoding="utf-8")


def test_again_computes_nothing_and_more_computes_only_that(toys: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert call("run", toys, "--out", out, "--seeds", "0", "--plugin", TOY).exit_code == 0
    records = (out / "records.jsonl").read_bytes()
    stamps = {p: p.stat().st_mtime_ns for p in (out / "runs").rglob("*.*") if p.is_file()}
    assert call("run", toys, "--out", out, "--seeds", "0", "--plugin", TOY).exit_code == 0
    assert (out / "records.jsonl").read_bytes() == records
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps
    assert call("run", toys, "--out", out, "--plugin", TOY).exit_code == 0
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps
    assert {r.seed for r in read_records(out)} == {None, 0, 1}
    # The bytes of a run do not depend on the company it runs in.
    assert set(records.splitlines()) <= set((out / "records.jsonl").read_bytes().splitlines())


def test_faults_cost_their_own_rows(toys: Path, tmp_path: Path) -> None:
    toys.write_text(SUITE + FAULTS, encoding="utf-8")
    out = tmp_path / "out"
    done = call("run", toys, "--out", out, "--seeds", "0", "--plugin", TOY)
    assert done.exit_code == 1
    rows = {r.entry: r for r in read_records(out)}
    assert rows["Toy"].status == "done"
    assert rows["Breaks"].status == "diverged"
    assert rows["Breaks"].conditions["snapshot"] == 320
    assert rows["Breaks"].stability["first_nonfinite_step"] == 15
    assert rows["Breaks"].value("frechet_distance") is not None
    assert rows["Fails in training"].status == "failed"
    assert rows["Fails in training"].reason == "ZeroDivisionError: a bug in training"
    assert rows["Fails in sampling"].status == "failed"
    assert rows["Gives NaN"].status == "diverged"
    assert "not even the untrained one" in (rows["Gives NaN"].reason or "")
    assert rows["Does not fit"].status == "skipped"
    assert "do not fit this model" in (rows["Does not fit"].reason or "")
    table = (out / "table.md").read_text(encoding="utf-8")
    for entry in rows:
        assert entry in table


def test_a_process_that_dies_costs_its_own_rows(toys: Path, tmp_path: Path) -> None:
    dies = """
[entries.Dies]
model = "faulty"
options = { where = "die" }
"""
    toys.write_text(SUITE + dies, encoding="utf-8")
    out = tmp_path / "out"
    done = call("run", toys, "--out", out, "--seeds", "0", "--plugin", TOY)
    assert done.exit_code == 1
    rows = {r.entry: r for r in read_records(out)}
    assert {name: row.status for name, row in rows.items()} == {
        "real": "done",
        "Toy": "done",
        "Toy, wide": "done",
        "Dies": "failed",
    }
    assert "its process died" in (rows["Dies"].reason or "")


def test_a_run_says_what_it_will_take_and_what_each_job_came_to(
    toys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genbench.experiment.run.WORTH_ESTIMATING", 1)
    done = call("run", toys, "--out", tmp_path / "out", "--seeds", "0", "--jobs", "2")
    assert done.exit_code == 0, done.output
    (said,) = [line for line in done.stderr.splitlines() if "of training and sampling" in line]
    assert re.match(r"about \d+ s of training and sampling on this CPU.*, 1 at a time; then", said)
    assert f"{tmp_path / 'out' / 'report.html'}, table.md and records.jsonl" in said
    (ended,) = [
        line for line in done.stderr.splitlines() if "Toy, Toy, wide" in line and "done" in line
    ]
    assert re.search(r"done, Fréchet distance Toy [\d.e-]+, Toy, wide [\d.e-]+$", ended)
    timed = [line for line in done.stderr.splitlines() if line.endswith("a sample")]
    assert len(timed) == 2
    # One table, in the order of the headline score, and what it says.
    assert done.stdout.count("───") > 0
    assert "1 seed decides no ranking" in done.stdout
    again = call("run", toys, "--out", tmp_path / "out", "--seeds", "0")
    assert "of training and sampling" not in again.stderr


def test_table_and_report_of_a_run(out: Path, tmp_path: Path) -> None:
    for form in ("terminal", "markdown", "csv", "latex", "json", "html"):
        assert "Toy" in call("table", out, "--format", form).stdout
    assert call("report", out, "--out", tmp_path / "page.html").exit_code == 0
    assert (tmp_path / "page.html").stat().st_size > 1000


def test_train_sample_evaluate(toys: Path, tmp_path: Path) -> None:
    run, file = tmp_path / "run", tmp_path / "samples.npz"
    trained = call("train", f"{toys}:Toy", "--examples", "320", "--out", run)
    assert trained.exit_code == 0, trained.output
    assert (
        call("sample", run, "--count", "100", "--option", "scale=0.2", "--out", file).exit_code == 0
    )
    with np.load(file) as content:
        assert content["samples"].shape == (100, 2)
    arguments = ["--against", "points-ring:test", "--extractor", "identity"]
    scored = call("evaluate", file, *arguments, "--metrics", "frechet_distance,recall", "--json")
    assert scored.exit_code == 0, scored.output
    scores = json.loads(scored.stdout)
    assert scores["values"].keys() == {"frechet_distance", "recall"}
    assert scores["protocol"]["samples"] == 100
    shown = call("evaluate", file, *arguments, "--metrics", "recall,memorized")
    assert "needs the generator's training set" in shown.output


def test_train_by_names(tmp_path: Path) -> None:
    arguments = ["--examples", "64", "--option", "learning_rate=0.1", "--seed", "3"]
    done = call("train", "toy", "points-ring", *arguments, "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    # The same again is found finished; anything else is refused.
    assert call("train", "toy", "points-ring", *arguments, "--out", tmp_path / "run").exit_code == 0
    other = call("train", "toy", "points-ring", "--examples", "32", "--out", tmp_path / "run")
    assert other.exit_code == 2
    assert "holds another training" in other.output


def test_dry_run_writes_nothing(toys: Path, tmp_path: Path) -> None:
    done = call("run", toys, "--dry-run", "--out", tmp_path / "out")
    assert done.exit_code == 0
    assert "train toy seed 1" in done.output
    assert not (tmp_path / "out").exists()


def test_a_folder_belongs_to_one_suite(out: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(SUITE, encoding="utf-8")
    done = call("run", other, "--out", out, "--seeds", "0", "--plugin", TOY)
    assert done.exit_code == 2
    assert "belongs to the suite 'toys'" in done.stderr


def test_names_are_never_read_as_markup(toys: Path, tmp_path: Path) -> None:
    hostile = SUITE.replace('"Toy, wide"', '"Toy [/b] [red]"')
    toys.write_text(hostile, encoding="utf-8")
    done = call("run", toys, "--out", tmp_path / "out", "--seeds", "0", "--plugin", TOY)
    assert done.exit_code == 0, done.output
    assert "Toy [/b] [red]" in done.output


@pytest.mark.parametrize("kind", ["models", "datasets", "extractors", "metrics", "suites"])
def test_list(kind: str) -> None:
    plain, listed = call("list", kind), call("list", kind, "--json")
    names = [row["name"] for row in json.loads(listed.stdout)]
    assert names
    assert all(name in plain.stdout for name in names)


def test_doctor() -> None:
    done = call("doctor")
    assert done.exit_code == 0, done.output
    for word in ("torch", "torchvision", "devices", "data", "weights", "models"):
        assert word in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rn"], "unknown command 'rn'; did you mean 'run'?"),
        (["run", "quickstrat"], "unknown suite 'quickstrat'; did you mean 'quickstart'?"),
        (["run", "none.toml"], "cannot read the suite none.toml"),
        (["run", "quickstart", "--set", "example=3"], "did you mean 'examples'?"),
        (["run", "quickstart", "--set", "examples=x"], "examples: input should be a valid integer"),
        (["run", "quickstart", "--seeds", "a"], "--seeds a: write whole numbers"),
        (["run", "quickstart", "--seeds", "1,1"], "--seeds 1,1: seeds are different numbers"),
        (
            ["run", "quickstart", "--set", "dataset=digts", "--out", "{tmp}/o"],
            "unknown dataset, file or folder 'digts'; did you mean 'digits'?",
        ),
        (
            ["run", "quickstart", "--set", "score.metrics=['frechet']", "--out", "{tmp}/o"],
            "unknown metric 'frechet'; did you mean 'frechet_distance'?",
        ),
        (
            ["run", "quickstart", "--set", "score.extractor=digit", "--out", "{tmp}/o"],
            "unknown extractor 'digit'; did you mean 'digits'?",
        ),
        (["run", "quickstart", "--out", "{tmp}"], "belongs to something else"),
        (["run", "quickstart", "--device", "cuda", "--out", "{tmp}/o"], "no CUDA device here"),
        (
            ["run", "quickstart", "--set", "entries.DDIM-10.sample.stepz=3", "--out", "{tmp}/o"],
            "entry 'DDIM-10', model 'ddim' has no option 'stepz'; did you mean 'steps'?",
        ),
        (
            ["run", "quickstart", "--set", "score.snapshots.metrics=['frechet']"],
            "unknown metric 'frechet'; did you mean 'frechet_distance'?",
        ),
        (
            ["run", "quickstart", "--set", "score.reference=points-ring:test", "--out", "{tmp}/o"],
            "does not fit",
        ),
        (["run", "quickstart", "--set", "seeds=[1,1]"], "should be one or more different numbers"),
        (
            ["train", "ddpm", "digits", "--option", "channels=15", "--out", "{tmp}/r"],
            "channels must be a multiple of 4, got 15",
        ),
        (["train", "gan", "digits", "--out", "{tmp}"], "belongs to something else"),
        (["train", "gan", "digits", "--option", "channels=2020-01-01", "--out", "{tmp}/r"], "got"),
        (
            [
                *("evaluate", "digits", "--against", "digits:test"),
                *("--train", "points-ring", "--extractor", "digits"),
            ],
            "does not fit",
        ),
        (["run", "quickstart", "--out", "{tmp}/occupied.txt"], "is a file; name a folder"),
        (["run", "quickstart", "--jobs", "0"], "--jobs"),
        (["train", "dpm", "digits", "--out", "{tmp}/r"], "unknown model 'dpm'; did you mean"),
        (["train", "ddim", "digits", "--out", "{tmp}/r"], "is a way to sample 'ddpm': train that"),
        (["train", "ddpm", "digts", "--out", "{tmp}/r"], "'digts'; did you mean 'digits'?"),
        (["train", "ddpm", "digits:tst", "--out", "{tmp}/r"], "did you mean 'test'?"),
        (["train", "quickstart:DPM", "--out", "{tmp}/r"], "did you mean 'DDPM'?"),
        (
            ["train", "ddpm", "digits", "--option", "chanels=3", "--out", "{tmp}/r"],
            "model 'ddpm' has no option 'chanels'; did you mean 'channels'?",
        ),
        (["train", "ddpm", "digits", "--option", "x", "--out", "{tmp}/r"], "write KEY=VALUE"),
        (["sample", "{tmp}", "--out", "{tmp}/s.npz"], "holds no finished training"),
        (["evaluate", "{tmp}/none.npz", "--against", "digits:test"], "none.npz"),
        (["evaluate", "digits", "--against", "mnst:test"], "did you mean 'mnist'?"),
        (["evaluate", "digits", "--against", "digits:test", "--metrics", ""], "unknown metric ''"),
        (["table", "{tmp}"], "holds no records.jsonl"),
        (["report", "{tmp}", "--out", "{tmp}/x.html"], "holds no records.jsonl"),
        (["list", "modles"], "modles"),
        (["list", "models", "--plugin", "none.py"], "--plugin none.py: no such Python file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_one_line_and_exit_2(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    (tmp_path / "occupied.txt").write_text("mine", encoding="utf-8")
    done = call(*(argument.replace("{tmp}", str(tmp_path)) for argument in arguments))
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert done.stderr.startswith("genbench: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["occupied.txt"]
