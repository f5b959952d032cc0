"""Records of a grid, made up, and what they say of each entry."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from rich.console import Console

from genbench import suite
from genbench.analysis.sensitivity import Sensitivity, document, sensitivities
from genbench.registry.outputs import known as known_outputs
from genbench.rendering import render, show
from genbench.store.records import Record
from genbench.suite import Grid, expand_grid

OUTPUTS = known_outputs()
HOSTILE = "<script>alert(1)</script> | [red]"
PROTOCOL = {"extractor": "identity@1", "reference": "points-ring:test", "samples": 128}


def grid(*entries: str, batches: Sequence[int] = (16, 32, 64, 128)) -> Grid:
    content = suite.parse(
        "a suite",
        {
            "title": "Made up",
            "dataset": "points-ring",
            "seeds": [0],
            "examples": 640,
            "samples": 128,
            "score": {"extractor": "identity", "reference": "x:test", "metrics": ["recall"]},
            "entries": {entry: {"model": "gan"} for entry in entries},
        },
    )
    return expand_grid(content, {"batch": list(batches)})


def record(entry: str, seed: int | None, value: float | None, **fields: Any) -> Record:
    scores = {} if value is None else {"frechet_distance": {"value": value}}
    known: dict[str, Any] = {"model": "gan", "trains": "gan", "dataset": "d", "status": "done"}
    known |= {"outputs": OUTPUTS, "protocol": PROTOCOL, "suite": "s"}
    return Record(**{**known, "entry": entry, "seed": seed, "scores": scores, **fields})


def entry(name: str, rows: Sequence[Sequence[float | None]], **fields: Any) -> list[Record]:
    """By batch, by seed; without a value: diverged."""
    return [
        record(f"{name} · batch {batch}", seed, v, status="diverged" if v is None else "done")
        for batch, row in zip((16, 32, 64, 128), rows, strict=False)
        for seed, v in enumerate(row)
    ]


def only(records: Sequence[Record], score: str = "frechet_distance") -> Sensitivity:
    (found,) = sensitivities(records, grid("GAN"), score, 1.5)
    return found


def test_one_entry() -> None:
    found = only(entry("GAN", [[0.4], [0.2], [0.3], [None]]))
    assert (found.entry, found.seeds, len(found.trials)) == ("GAN", 1, 4)
    assert found.heading == "Fréchet distance"
    assert found.best is not None
    assert (found.best.score, found.best.setting) == (0.2, "batch 32")
    assert found.best.settings == {"batch": 32}
    assert found.near == 2
    assert [t.setting for t in found.losing("diverged")] == ["batch 128"]
    # Pairs: .2 .3 .4 .2 .2 .3; triples: .2 .3 .2 .2.
    assert found.expected == (None, pytest.approx(1.6 / 6), pytest.approx(0.9 / 4), 0.2)
    assert found.intervals is None


def test_a_diverged_run_has_no_score_whatever_its_last_good_snapshot_has() -> None:
    runs = entry("GAN", [[0.4], [0.2], [0.3], [0.1]])
    runs[3] = record("GAN · batch 128", 0, 0.1, status="diverged")
    found = only(runs)
    assert found.best is not None
    assert found.best.setting == "batch 32"
    assert found.trials[3].score is None


def test_five_seeds_have_intervals_and_a_median_that_counts_the_lost() -> None:
    rows = [[0.4] * 5, [0.2, 0.21, 0.22, None, None], [0.3] * 5, [None, None, None, 0.01, 0.01]]
    found = only(entry("GAN", rows))
    assert [trial.score for trial in found.trials] == [0.4, 0.22, 0.3, None]
    assert [trial.lost["diverged"] for trial in found.trials] == [0, 2, 0, 3]
    assert len(found.losing("diverged")) == 2
    assert found.intervals is not None
    low, high = found.intervals.expected[3]
    assert (low, high) == (0.01, 0.22)


def test_collapsed_runs_are_counted_and_keep_their_score() -> None:
    def covering(name: str, value: float, coverage: float, seed: int | None = 0) -> Record:
        scores = {"frechet_distance": {"value": value}, "coverage": {"value": coverage}}
        return record(name, seed, None, scores=scores)

    found = only(
        [
            covering("real", 0.01, 0.9, seed=None),
            *(covering(f"GAN · batch {batch}", batch, 0.8) for batch in (16, 32, 64)),
            covering("GAN · batch 128", 128, 0.1),
        ]
    )
    assert found.trials[3].lost == {"diverged": 0, "collapsed": 1, "not trained": 0, "failed": 0}
    assert found.trials[3].score == 128
    assert found.seeds == 1


def test_a_setting_that_cannot_fit_is_no_trial() -> None:
    runs = entry("GAN", [[0.4], [0.2], [0.3]])
    found = only([*runs, record("GAN · batch 128", 0, None, status="skipped")])
    assert (len(found.trials), found.skipped) == (3, ("batch 128",))
    skipped = [record(f"GAN · batch {b}", 0, None, status="skipped") for b in (16, 32, 64, 128)]
    assert sensitivities(skipped, grid("GAN"), "frechet_distance", 1.5) == []


def test_higher_is_better() -> None:
    runs = [
        record(
            f"GAN · batch {batch}",
            0,
            None,
            scores={"recall": {"value": v}},
        )
        for batch, v in zip((16, 32, 64, 128), (0.9, 0.61, 0.5, 0.0), strict=True)
    ]
    found = only(runs, "recall")
    assert found.best is not None
    assert (found.best.score, found.near) == (0.9, 2)
    assert found.expected[0] == pytest.approx(2.01 / 4)


def shown(found: Sequence[Sensitivity], width: int = 160) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        show(document(found, {}), console)
    return capture.get()


def test_what_is_shown() -> None:
    records = [
        *entry("GAN", [[0.4], [0.2], [0.3], [None]]),
        *entry(HOSTILE, [[0.0], [1.0], [2.0], [3.0]]),
        *entry("Lost", [[None]] * 4),
    ]
    found = sensitivities(records, grid("GAN", HOSTILE, "Lost"), "frechet_distance", 1.5)
    text = shown(found)
    assert "Fréchet distance ↓ over batch" in text
    assert "batch 32" in text
    assert "2 of 4" in text
    assert "1 diverged" in text
    assert "4 diverged" in text
    assert "GAN diverged at batch 128." in text
    assert "No intervals: 5 seeds are the least for them." in text
    assert "Lost: no setting has a score." in text
    assert HOSTILE in text
    assert "within 1.5× is undefined" in text
    page = render(document(found, {}), "markdown")
    assert "<script>" not in page
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines()]
    assert ["batch 64", "0.3", "1.5", "1 of 1", ""] in rows
    assert ["3", "0.225"] in rows
    told = json.loads(render(document(found, {"VAE": "why"}), "json"))
    assert [each["entry"] for each in told["entries"]] == ["GAN", HOSTILE, "Lost"]
    assert told["entries"][0]["best"]["settings"] == {"batch": 32}
    assert told["entries"][0]["protocol"] == PROTOCOL
    assert told["left_out"] == {"VAE": "why"}
    assert "No entry fits" in shown([])


def test_intervals_and_a_long_name_fit_a_terminal_of_80_columns() -> None:
    names = ("score-SDE PC, 50 steps", "GAN")
    rows = [[0.41, 0.42, 0.43, 0.44, 0.45], [0.2, 0.21, 0.22, None, None], [0.3] * 5]
    records = [r for name in names for r in entry(name, [*rows, [None] * 5])]
    text = shown(sensitivities(records, grid(*names), "frechet_distance", 1.5), width=80)
    for words in ("score-SDE PC,", "GAN", "2 of 4", "batch 32", "2 diverged"):
        assert words in text
    assert "[0.2, 0.3]" in text
    assert "A setting's score is the median over 5 seeds" in text
