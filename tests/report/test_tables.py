"""Overall ranks, each entry against another, and every seed: by hand and by scipy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from example import make_record

from genbench.analysis.columns import Quantity
from genbench.analysis.entry_runs import EntryRuns
from genbench.api import Output
from genbench.rendering.layout import blocks
from genbench.rendering.text import WEB_WIDTH
from genbench.report import write_report
from genbench.report.tables import MOST_BASELINES, against, overall_ranking, seed_table
from genbench.store.records import Record, write_records

OUTPUTS = {
    "distance": Output(False, "distance", "fidelity", minimum=0.0),
    "recall": Output(True, "recall", "diversity"),
}
DISTANCE = Quantity("distance", "distance", "fidelity", ("scores", "distance", "value"), False)
RECALL = Quantity("recall", "recall", "diversity", ("scores", "recall", "value"), True)
QUANTITIES = {"distance": DISTANCE, "recall": RECALL}


def row(entry: str, distances: list[float | None], recall: float = 0.5) -> EntryRuns:
    """``None``: the run diverged."""
    runs = []
    for seed, distance in enumerate(distances):
        values = {} if distance is None else {"distance": distance, "recall": recall}
        scores = {name: {"value": v, "low": None, "high": None} for name, v in values.items()}
        status = "diverged" if distance is None else "done"
        runs.append(make_record(entry, seed, status=status, scores=scores, outputs=OUTPUTS))
    return EntryRuns(entry, tuple(runs))


A = row("A", [1.0, 1.1, 0.9, 1.2, 1.0], recall=0.4)
B = row("B", [2.0, 2.1, 1.9, 2.4, 2.0], recall=0.6)
C = row("C", [3.0, None, 1.5, 2.2, 2.6], recall=0.5)


def texts(section_rows: list[list[str]]) -> dict[str, list[str]]:
    return {name: others for name, *others in section_rows}


def cells(section: object) -> dict[str, list[str]]:
    (table,) = section.tables  # type: ignore[attr-defined]
    return texts([[cell.text for cell in each.cells] for each in table.rows])


def test_ranks_are_means_over_scores_and_seeds() -> None:
    found = overall_ranking([A, B, C], QUANTITIES)
    assert found is not None
    # A: first by distance, last by recall with every seed but that with which C diverged.
    by_seed = [(1 + 3) / 2, (1 + 2) / 2, (1 + 3) / 2, (1 + 3) / 2, (1 + 3) / 2]
    low, high = scipy.stats.t.interval(0.95, 4, np.mean(by_seed), scipy.stats.sem(by_seed))
    assert cells(found)["A"] == ["1.90", f"{low:.2f} to {high:.2f}", "1 of 2 scores"]
    assert list(cells(found)) == ["B", "A", "C"]


def test_an_entry_alone_has_no_rank_and_no_rival() -> None:
    assert overall_ranking([A], QUANTITIES) is None
    assert against([A], DISTANCE) == {}
    assert against([row("X", [None]), row("Y", [None])], DISTANCE) == {}


def test_each_entry_against_each_the_best_first() -> None:
    found = against([C, B, A], DISTANCE)
    assert list(found) == ["A", "B", "C"]
    ours, theirs = ([run.value("distance") or 0 for run in each.runs] for each in (B, A))
    test = scipy.stats.ttest_ind(np.log(ours), np.log(theirs), equal_var=False)
    low, high = np.exp(test.confidence_interval(0.95))
    ratio = np.exp(np.mean(np.log(ours)) - np.mean(np.log(theirs)))
    said = [f"{ratio:.2f}", f"{low:.2f} to {high:.2f}", "0 %", "< 0.001", "worse"]
    assert cells(found["A"])["B"] == said
    # A run of C is lost, and none of A.
    lost, *_ = cells(found["A"])["C"][::-1]
    assert lost.startswith("worse: 1 of 5 runs have no score")
    assert cells(found["B"])["A"][-1] == "better"
    assert cells(found["B"])["A"][2] == "100 %"


def test_few_seeds_decide_nothing() -> None:
    found = against([row("A", [1.0, 1.01]), row("B", [2.0, 2.01])], DISTANCE)
    assert cells(found["A"])["B"][-1].startswith("undecided: at least 5 seeds")


def test_what_may_be_negative_has_differences() -> None:
    """A score without a declared minimum."""
    found = against([A, B], RECALL)["B"]
    assert [column.heading for column in found.tables[0].columns][1] == "difference"
    assert cells(found)["A"][0] == "-0.200"


def test_beyond_some_entries_only_the_best_is_a_baseline() -> None:
    rows = [row(f"M{n}", [1.0 + n, 1.1 + n]) for n in range(MOST_BASELINES + 1)]
    assert list(against(rows, DISTANCE)) == ["M0"]
    assert len(against(rows[:-1], DISTANCE)) == MOST_BASELINES


def test_every_seed_and_what_became_of_it() -> None:
    found = seed_table([C, A], DISTANCE)
    assert found is not None
    assert cells(found) == {
        "A": ["1.00", "1.10", "0.90", "1.20", "1.00"],
        "C": ["3.00", "diverged", "1.50", "2.20", "2.60"],
    }
    assert [column.heading for column in found.tables[0].columns][1:] == [
        f"seed {seed}" for seed in range(5)
    ]


def test_many_seeds_are_several_tables() -> None:
    """Each as wide as a page."""
    found = seed_table([row("A", [0.1 * (seed + 1) for seed in range(25)])], DISTANCE)
    assert found is not None
    parts = blocks(found.tables[0], WEB_WIDTH, padding=3)
    assert len(parts) > 1
    headings = [column.heading for part in parts for column in part.columns[1:]]
    assert headings == [f"seed {seed}" for seed in range(25)]


@pytest.mark.parametrize(("entries", "tables"), [(3, 3), (13, 1)])
def test_all_baselines_of_a_page_but_one_are_hidden(
    entries: int, tables: int, example_records: list[Record], tmp_path: Path
) -> None:
    real, ddpm = example_records[:2]
    runs = [replace(ddpm, entry=f"M{n}", files={}) for n in range(entries)]
    write_records(tmp_path, [replace(real, files={}), *runs])
    write_report([tmp_path], tmp_path / "report.html")
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert source.count("<div data-baseline=") == tables
    assert source.count('hidden="">\n<h3>Each entry against') == tables - 1
