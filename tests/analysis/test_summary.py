"""Who is best, whether that is sure, and the few lines that say so."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy import stats

from genbench.analysis.columns import comparison_quantities, headline
from genbench.analysis.contrasts import contrasts
from genbench.analysis.entry_runs import entry_runs
from genbench.analysis.rankings import mean_ranks, medians
from genbench.analysis.selection import offered_verdicts
from genbench.analysis.statistics import holm, welch, welch_all
from genbench.analysis.summary import document
from genbench.api.errors import UnknownName
from genbench.registry.outputs import known
from genbench.rendering import render
from genbench.store.records import Record

OUTPUTS = {name: known()[name] for name in ("frechet_distance", "precision", "kernel_distance")}
PROTOCOL: dict[str, Any] = {"extractor": "digits@1", "reference": "digits:test", "samples": 500}


def run(entry: str, seed: int | None, distance: float | None, **more: Any) -> Record:
    values = {"frechet_distance": distance, **more.pop("scores", {})}
    fields: dict[str, Any] = {
        "suite": "s",
        "model": entry,
        "trains": entry,
        "dataset": "digits",
        "status": "done" if distance is not None else "diverged",
        "outputs": OUTPUTS,
        "protocol": PROTOCOL,
        "scores": {
            name: {"value": value, "low": None, "high": None}
            for name, value in values.items()
            if value is not None
        },
    }
    return Record(**{**fields, **more, "entry": entry, "seed": seed})


def runs(entry: str, *distances: float | None) -> list[Record]:
    return [run(entry, seed, distance) for seed, distance in enumerate(distances)]


def contrasted(records: list[Record], baseline: str, score: str = "frechet_distance") -> Any:
    rows = entry_runs(records)
    quantity = next(q for q in comparison_quantities(records, PROTOCOL) if q.key == score)
    return {each.entry: each for each in contrasts(rows, quantity, baseline)}


A = (0.10, 0.11, 0.12, 0.10, 0.13)
B = (0.20, 0.24, 0.19, 0.22, 0.23)
C = (0.11, 0.09, 0.14, 0.12, 0.11)


def test_a_distance_is_compared_by_its_ratio() -> None:
    found = contrasted([*runs("A", *A), *runs("B", *B), *runs("C", *C)], "A")
    pairs = [(B, A), (C, A), (B, C)]  # whoever is the baseline, all are tested
    tests = [stats.ttest_ind(np.log(x), np.log(y), equal_var=False) for x, y in pairs]
    adjusted = holm([test.pvalue for test in tests])[:2]
    assert [*found] == ["B", "C"]
    for entry, values, p in zip(found, (B, C), adjusted, strict=True):
        each = found[entry]
        assert each.ratio
        expected = np.log(values).mean() - np.log(A).mean()
        assert each.judgement.difference.value == pytest.approx(expected)
        assert each.judgement.adjusted_p == pytest.approx(p)
    assert (found["B"].judgement.outcome, found["B"].share) == ("worse", 0.0)
    assert found["C"].judgement.outcome == "within noise"


def test_a_score_that_may_be_negative_is_compared_by_its_difference() -> None:
    values = {"A": (0.010, -0.002, 0.004, 0.001, 0.003), "B": (0.2, 0.21, 0.19, 0.2, 0.22)}
    records = [
        run(entry, seed, 0.1, scores={"kernel_distance": value})
        for entry, row in values.items()
        for seed, value in enumerate(row)
    ]
    found = contrasted(records, "B", "kernel_distance")["A"]
    assert not found.ratio
    expected = np.mean(values["A"]) - np.mean(values["B"])
    assert found.judgement.difference.value == pytest.approx(expected)
    assert (found.judgement.outcome, found.share) == ("better", 1.0)


def test_p_values_of_all_pairs_are_those_of_each() -> None:
    rows = [A, B, C, (0.5, 0.5, 0.5), (0.5, 0.5), (0.25, 0.25), (1.0,)]
    each = [welch(x, y).p for x, y in combinations(rows[:-1], 2)]
    assert welch_all(rows) == pytest.approx(each)


def test_of_equal_entries_the_best_is_rarely_told_from_another() -> None:
    """It is chosen after looking: of 15 equal entries, less than 5 % of runs find one worse."""
    random = np.random.default_rng(0)
    found = 0
    for _ in range(60):
        records = [
            run(f"e{entry}", seed, float(value))
            for entry, row in enumerate(random.lognormal(sigma=0.3, size=(15, 10)))
            for seed, value in enumerate(row)
        ]
        score = headline(records, PROTOCOL)
        rows = entry_runs(records)
        best = next(iter(medians(rows, score)))
        found += any(c.judgement.outcome == "worse" for c in contrasts(rows, score, best))
    assert found <= 3  # 6.6 are to be expected without the other pairs


def test_runs_that_diverged_are_worse_than_any() -> None:
    lost = contrasted([*runs("A", *A), *runs("B", 0.05, 0.05, 0.05, None, None)], "A")["B"]
    assert lost.judgement.outcome == "worse"
    assert lost.judgement.reason == "2 of 5 runs have no score, 0 of 5 on the other side"
    assert lost.share == pytest.approx(0.6)  # 15 of the 25 pairs


def test_few_seeds_decide_nothing() -> None:
    found = contrasted([*runs("A", 0.1, 0.101), *runs("B", 9.0, 9.1)], "A")["B"]
    assert found.judgement.outcome == "undecided"
    assert found.judgement.reason == "at least 5 seeds a side are needed"


def test_an_unknown_baseline_is_named() -> None:
    with pytest.raises(UnknownName, match="did you mean 'DDPM'"):
        contrasted(runs("DDPM", *A), "DDMP")


def test_mean_ranks_are_those_of_each_seed_and_score() -> None:
    """Two entries, two scores: A wins the distance with every seed, and precision with none."""
    records = [
        run(entry, seed, distance, scores={"precision": precision})
        for entry, distance, precision in (("A", 0.1, 0.5), ("B", 0.2, 0.9), ("C", 0.3, 0.5))
        for seed in range(3)
    ]
    rows = entry_runs(records)
    scores = [q for q in comparison_quantities(records, PROTOCOL) if q.path[:1] == ("scores",)]
    scores = [q for q in scores if q.key in ("frechet_distance", "precision")]
    found = {each.entry: each for each in mean_ranks(rows, scores)}
    # A: 1 and, as C, the mean of 2 and 3.
    assert {entry: each.mean for entry, each in found.items()} == {"B": 1.5, "A": 1.75, "C": 2.75}
    assert [*found] == ["B", "A", "C"]
    assert {entry: each.first_in for entry, each in found.items()} == {"A": 1, "B": 1, "C": 0}
    assert found["A"].interval == (1.75, 1.75)


def test_the_interval_of_a_mean_rank_stays_among_the_ranks() -> None:
    records = [*runs("A", 0.1, 0.2, 0.1), *runs("B", 0.2, 0.1, None)]
    rows, score = entry_runs(records), headline(records, PROTOCOL)
    (first, second) = mean_ranks(rows, [score])
    assert (first.entry, first.mean) == ("A", pytest.approx(4 / 3))
    half = stats.t.ppf(0.975, 2) * np.std([1, 2, 1], ddof=1) / math.sqrt(3)
    assert first.interval == (1.0, 2.0)
    assert 4 / 3 + half > 2  # so that the limit is met
    assert second.mean == pytest.approx(5 / 3)
    assert [*medians(rows, score)] == ["A", "B"]


def summary(records: list[Record], width: int = 80) -> str:
    return render(document(records, offered_verdicts(records)[0]), "terminal", width)


def test_two_seeds_decide_no_ranking() -> None:
    text = " ".join(summary([*runs("A", 0.1, 0.1), *runs("B", 0.2, 0.2)]).split())
    assert "A has the lowest median Fréchet distance, 0.1; but 2 seeds decide no ranking." in text
    assert "--seeds 0,1,2,3,4" in text


def test_the_best_is_told_from_others_or_not() -> None:
    records = [*runs("B", *B), *runs("A", *A), *runs("C", *C)]
    text = " ".join(summary(records).split())
    assert "A has the lowest median Fréchet distance, 0.11, better than 1 of 2 others" in text
    assert "not told apart from it: C." in text
    alone = " ".join(summary([*runs("B", *B), *runs("A", *A)]).split())
    assert "better than that of every other entry beyond the noise of seeds" in alone


def test_rows_are_ordered_by_the_headline_score_and_lost_runs_are_counted() -> None:
    real = run("real", None, 0.01, model="real", trains=None)
    records = [real, *runs("B", *B), *runs("A", *A), *runs("X", None, None, 0.3, 0.3, 0.3)]
    (section,) = document(records, []).sections
    (table,) = section.tables
    assert [row.label for row in table.rows] == ["real", "A", "B", "X"]
    column = [column.key for column in table.columns].index("stability")
    assert [row.cells[column].text for row in table.rows] == ["", "—", "—", "2 lost"]
    assert any("X 2 diverged of 5" in note for note in section.notes)


def test_the_summary_of_many_entries_fits_a_terminal() -> None:
    records = [
        run(
            f"a model with a name {i}",
            seed,
            0.1 * (i + 1) * (1 + seed / 50),
            scores={"precision": 0.9},
        )
        for i in range(30)
        for seed in range(5)
    ]
    lines = summary(records).rstrip().splitlines()
    assert len(lines) <= 23  # two more say where the report is
    assert max(map(len, lines)) <= 80
    assert any("22 more entries" in line for line in lines)


def test_the_summary_of_the_example(example_records: list[Record]) -> None:
    text = summary(example_records)
    lines = text.rstrip().splitlines()
    assert len(lines) <= 23
    assert max(map(len, lines)) <= 80
    assert text.count("─" * 20) >= 1
    assert "supported “costlier to" in " ".join(text.split()) or "undecided" in text
