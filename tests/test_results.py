"""What lies in ``results/``: rendered from the data, and readable by anybody."""

from __future__ import annotations

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from statistics import fmean

import jsonschema
import pandas as pd
import pytest

import genbench
from genbench.store.records import SCHEMA, Record, json_schema

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
RECORDS = sorted(RESULTS.rglob("records.jsonl"))

_spec = spec_from_file_location("render", RESULTS / "render.py")
assert _spec is not None
assert _spec.loader is not None
render = module_from_spec(_spec)
_spec.loader.exec_module(render)


def test_what_is_rendered_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    pages = render.pages()
    assert {path.name for path in pages} >= {"README.md", "leaderboards.md", "table.md"}
    stale = [path for path, text in pages.items() if path.read_text(encoding="utf-8") != text]
    assert not stale, "python results/render.py writes them anew"


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.parent.name)
def test_records_are_as_their_schema_says(path: Path) -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines
    for line in lines:
        validator.validate(json.loads(line))


def test_the_schema_refuses_what_is_no_record() -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    record = json.loads((RESULTS / "quickstart" / "records.jsonl").read_text().split("\n")[1])
    wrong = {"scores": {"recall": {"value": "high"}}}
    for change in ({"seed": "one"}, {"schema": SCHEMA + 1}, wrong):
        assert not validator.is_valid(record | change)
    del record["entry"]
    assert not validator.is_valid(record)


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.parent.name)
def test_records_load_with_pandas(path: Path) -> None:
    frame = pd.read_json(path, lines=True)
    assert {"entry", "seed", "status", "scores", "schema"} <= set(frame.columns)
    assert len(frame) == len(path.read_text(encoding="utf-8").splitlines())


def test_the_quickstart_reaches_its_bar() -> None:
    """Within five times the floor: every diffusion that takes 50 evaluations or so, and the GAN."""
    mean = means("quickstart", "frechet_distance")
    judged = ("DDPM", "DDIM-50", "score-SDE PC", "score-SDE ODE", "GAN")
    assert {name: mean[name] for name in judged if mean[name] > 5 * mean["real"]} == {}


def test_digits_that_were_asked_for_are_drawn_by_the_best() -> None:
    """On MNIST: within five times the floor, and 0.95 of the samples of the class asked for."""
    records = genbench.load(RESULTS / "mnist-small").records
    runs: dict[str, list[Record]] = {}
    for record in records:
        runs.setdefault(record.entry, []).append(record)

    def mean(entry: str, score: str) -> float:
        return fmean(value for r in runs[entry] if (value := r.value(score)) is not None)

    best = min(runs.keys() - {"real"}, key=lambda entry: mean(entry, "frechet_distance"))
    assert mean(best, "frechet_distance") <= 5 * mean("real", "frechet_distance")
    assert mean(best, "class_accuracy") >= 0.95


def test_the_gaussians_are_learned_by_the_best() -> None:
    """A toy that nobody solves separates nobody."""
    mean = means("points", "high_quality")
    assert max(value for name, value in mean.items() if name != "real") >= 0.9


def means(folder: str, score: str) -> dict[str, float]:
    """By entry, over its seeds."""
    frame = genbench.load(RESULTS / folder).frame()
    found = frame[frame.metric == score].groupby("entry").value.mean()
    return {str(entry): float(value) for entry, value in found.items()}
