"""Every contestant through the real corridor, on points, on tiny and on real 28×28 pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from genbench.cli import main

CHEAP = {
    "ddpm": ["sampler=ddim", "steps=5"],
    "score-sde": ["sampler=ode", "steps=3"],
    "gan": [],
}
NFE = {"ddpm": 5, "score-sde": 5, "gan": 1}


def call(*arguments: str | Path) -> str:
    done = CliRunner().invoke(main, [*map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("model", CHEAP)
@pytest.mark.parametrize(
    ("dataset", "extractor"),
    [("points-ring", "identity"), ("digits", "digits"), ("fashion-mnist", "identity")],
)
def test_train_sample_evaluate(
    model: str, dataset: str, extractor: str, tmp_path: Path, shared_data: Path
) -> None:
    run, file = tmp_path / "run", tmp_path / "samples.npz"
    data = ["--data-dir", shared_data]
    call("train", model, dataset, "--examples", "256", "--out", run, *data)
    options = [part for option in CHEAP[model] for part in ("--option", option)]
    drawn = call("sample", run, "--count", "70", *options, "--out", file)
    assert f"70 samples, {NFE[model]} network evaluations each" in drawn
    metrics = ["--metrics", "sliced_wasserstein", "--extractor", extractor, "--json"]
    scores = json.loads(call("evaluate", file, "--against", f"{dataset}:test", *metrics, *data))
    assert scores["values"]["sliced_wasserstein"]["value"] > 0
    assert scores["protocol"]["samples"] == 70
