"""``compile`` through the whole corridor, and what is refused before it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from genbench.cli import main
from genbench.store.records import read_records

SUITE = """
dataset = "digits"
seeds = [0]
examples = 144
samples = 64
train.batch = 8
score = { extractor = "identity", reference = "digits:test", metrics = ["frechet_distance"], \
snapshots = { count = 1, samples = 64 } }

[entries.DDPM]
model = "ddpm"
options = { channels = 4, multipliers = [1], blocks = 1, attention = [] }
sample = { sampler = "ddim", steps = 2 }
"""
GAN = """
[entries.GAN]
model = "gan"
options = { channels = 2 }
"""


def call(status: int, *arguments: str | Path) -> str:
    done = CliRunner().invoke(main, [*map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == status, done.output
    return done.output


def test_a_u_net_is_compiled_from_training_to_record(tmp_path: Path) -> None:
    suite, out = tmp_path / "small.toml", tmp_path / "run"
    suite.write_text(SUITE)
    said = call(0, "run", suite, "--out", out, "--compile", "--jobs", "1")
    record = next(r for r in read_records(out) if r.entry == "DDPM")
    assert record.status == "done", record.reason
    assert record.conditions["compile"] is True
    assert record.cost["nfe"] == 2
    assert record.cost["training_flops"] > 0
    assert record.cost["seconds_per_sample"] > 0
    assert record.files.keys() >= {"history", "samples"}
    assert "Warning" not in said
    assert Path(os.environ["GENBENCH_CACHE"], "inductor").is_dir()
    assert "compile = true" in (out / "suite.toml").read_text()


@pytest.mark.parametrize("plan", [False, True])
def test_what_cannot_be_compiled_is_refused_before_anything_is_written(
    tmp_path: Path, plan: bool
) -> None:
    suite, out = tmp_path / "small.toml", tmp_path / "run"
    suite.write_text(SUITE + GAN)
    arguments = ["run", suite, "--out", out, "--compile", *["--dry-run"] * plan]
    said = call(2, *arguments)
    assert "entry 'GAN', model 'gan', cannot be compiled: its penalty on a gradient" in said
    assert not out.exists()


def test_a_training_alone_is_refused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"
    said = call(2, "train", "gan", "digits", "--out", out, "--compile")
    assert "model 'gan' cannot be compiled: its penalty on a gradient" in said
    monkeypatch.setenv("CXX", "no-such-compiler")
    said = call(2, "train", "ddpm", "digits", "--out", out, "--compile")
    assert "torch.compile needs a C++ compiler, and there is no no-such-compiler here" in said
    assert not out.exists()
