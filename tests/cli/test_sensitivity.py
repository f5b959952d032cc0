"""``genbench sensitivity`` as a stranger uses it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from genbench import registry
from genbench.cli import main
from genbench.store.records import read_records

TOY = Path(__file__).parents[1] / "plugins" / "toy.py"

SUITE = """
title = "Points"
dataset = "points-ring"
seeds = [0]
examples = 256
samples = 128

[score]
extractor = "identity"
reference = "points-ring:test"
metrics = ["frechet_distance", "coverage", "inception_score"]
snapshots = { count = 1, samples = 64 }

[entries.Toy]
model = "toy"
"""
CONTESTANTS = """
[entries.DDPM]
model = "ddpm"
options = { timesteps = 21, channels = 8 }

[entries.GAN]
model = "gan"
options = { channels = 8 }

[entries.Rigid]
model = "capable"
"""

# Adam steps of 1e38 leave the range of float32.
GRID = ("--over", "learning_rate=1e-2,1e38,batch=32,64")


def call(*arguments: str | Path) -> Result:
    registry.add_plugin_file(TOY)
    done = CliRunner().invoke(main, ["sensitivity", *map(str, arguments)], catch_exceptions=False)
    assert "Traceback" not in done.output
    return done


def written(folder: Path, content: str) -> Path:
    path = folder / "points.toml"
    path.write_text(content, encoding="utf-8")
    return path


def test_a_grid_of_a_gan_and_a_diffusion(tmp_path: Path) -> None:
    path = written(tmp_path, SUITE.partition("[entries.Toy]")[0] + CONTESTANTS)
    out = tmp_path / "out"
    arguments = [path, *GRID, "--out", out, "--plugin", TOY, "--jobs", "1"]
    done = call(*arguments)
    assert done.exit_code == 0, done.output
    assert "Rigid is left out: model 'capable' has no option learning_rate" in done.stderr
    assert "8 trainings, 8 entries to score" in done.stderr
    shown = " ".join(done.stdout.split())
    assert shown.count("2 diverged") == 2
    assert (
        "GAN diverged at learning_rate 1e+38 · batch 32; learning_rate 1e+38 · batch 64." in shown
    )
    records = {record.entry: record for record in read_records(out)}
    assert len(records) == 9
    assert {record.suite for record in records.values()} == {"sensitivity points"}
    slow = records["GAN · learning_rate 0.01 · batch 32"]
    assert (slow.conditions["options"]["learning_rate"], slow.conditions["batch"]) == (0.01, 32)
    assert "GAN" in (out / "sensitivity.md").read_text(encoding="utf-8")
    assert "learning_rate 0.01 · batch 64" in (out / "table.md").read_text(encoding="utf-8")
    assert (out / "report.html").is_file()

    stamps = {p: p.stat().st_mtime_ns for p in (out / "runs").rglob("*.*") if p.is_file()}
    again = call(*arguments, "--json")
    assert again.exit_code == 0, again.output
    assert {p: p.stat().st_mtime_ns for p in (out / "runs").rglob("*.*") if p.is_file()} == stamps
    told = json.loads(again.stdout)
    assert told["left_out"].keys() == {"Rigid"}
    ddpm, gan = told["entries"]
    assert [trial["settings"] for trial in gan["trials"]] == [
        {"learning_rate": rate, "batch": batch} for rate in (0.01, 1e38) for batch in (32, 64)
    ]
    for each in (ddpm, gan):
        a, b, *lost = [trial["score"] for trial in each["trials"]]
        assert [a, b] == [records[t["name"]].value("frechet_distance") for t in each["trials"]][:2]
        assert lost == [None, None]
        # Of the six pairs one is of lost settings; of the four triples two are without a or b.
        assert each["expected"] == [
            None,
            None,
            pytest.approx((3 * min(a, b) + max(a, b)) / 4),
            min(a, b),
        ]
        assert each["best"]["score"] == min(a, b)

    by_coverage = call(*arguments, "--score", "coverage", "--json")
    entries = json.loads(by_coverage.stdout)["entries"]
    assert [each["higher_is_better"] for each in entries] == [True, True]
    unscored = call(*arguments, "--score", "inception_score")
    assert unscored.exit_code == 2
    assert "--score inception_score: needs logits" in unscored.stderr


def test_dry_run_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    path, out = written(tmp_path, SUITE), tmp_path / "out"
    done = call(path, *GRID, "--dry-run", "--out", out)
    assert done.exit_code == 0, done.output
    assert "4 trainings, 4 entries to score" in done.stdout
    assert "sample Toy · learning_rate 0.01 · batch 32" in done.stdout
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing option '--over'"),
        (["--over", "32"], "--over 32: write KEY=VALUE,VALUE"),
        (
            ["--over", "lerning_rate=1"],
            "no entry has a setting 'lerning_rate'; did you mean 'learn",
        ),
        (["--over", "batch=a"], "input should be a valid integer, got 'a'"),
        (["--over", "learning_rate=a"], "option 'learning_rate': input should be a valid number"),
        (["--over", "batch=8", "--score", "recal"], "unknown score of the suite 'recal'; known: "),
        (["--over", "batch=8", "--within", "0.5"], "--within"),
        (
            ["--over", "batch=8", "--dry-run", "--json"],
            "--dry-run prints a plan, --format shows results",
        ),
        (["--over", "batch=8", "--seeds", "a"], "--seeds a: write whole numbers"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    path = written(tmp_path, SUITE)
    done = call(path, *arguments, "--out", tmp_path / "out")
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "out").exists()
