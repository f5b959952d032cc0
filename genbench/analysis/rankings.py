"""Who is better: by the headline score, over all scores, and whether the extractor changes that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import kendalltau, rankdata

from genbench.analysis.columns import Quantity, headline
from genbench.analysis.entry_runs import EntryRuns
from genbench.analysis.statistics import mean_interval, summarize
from genbench.store.protocol import Protocol, protocol_differences

EXTRACTION = {"extractor", "resize"}
"""Parts of a protocol that say how features are extracted."""

SHOWN = 5
"""Pairs that are named."""


def extractor_notes(tables: Sequence[tuple[Protocol, Sequence[EntryRuns]]]) -> dict[int, list[str]]:
    """By the number of a table, from 0: what to say where the ranking by the headline score is
    another than in an earlier table whose protocol differs in the extractor alone."""
    notes: dict[int, list[str]] = {}
    for (i, (first, one)), (j, (second, other)) in combinations(enumerate(tables), 2):
        parts = {said.partition(":")[0] for said in protocol_differences(first, second)}
        if not parts or not parts <= EXTRACTION:
            continue
        a, b = (medians(each, _score(each, said)) for each, said in ((one, first), (other, second)))
        common = [label for label in a if label in b]
        swapped = [(x, y) for x, y in combinations(common, 2) if (a[x] - a[y]) * (b[x] - b[y]) < 0]
        if swapped:
            notes.setdefault(j, []).append(
                _said(i + 1, a, b, common, swapped, _score(one, first).heading)
            )
    return notes


def _said(
    number: int,
    a: Mapping[str, float],
    b: Mapping[str, float],
    common: Sequence[str],
    swapped: Sequence[tuple[str, str]],
    heading: str,
) -> str:
    tau = float(kendalltau([a[x] for x in common], [b[x] for x in common]).statistic)
    pairs = [f"{x} and {y}" for x, y in swapped[:SHOWN]]
    more = f" and {len(swapped) - SHOWN} pairs more" if len(swapped) > SHOWN else ""
    return (
        f"The ranking changes with the extractor: by {heading}, {'; '.join(pairs)}{more} "
        f"stand the other way round under protocol {number} "
        f"(Kendall's τ {tau:.2f} over {len(common)} entries)."
    )


def _score(rows: Sequence[EntryRuns], protocol: Protocol) -> Quantity:
    return headline([record for row in rows for record in row.records], protocol)


def medians(rows: Sequence[EntryRuns], score: Quantity) -> dict[str, float]:
    """The median score of each entry that has one, best first, diverged runs ranked last."""
    found = {}
    for row in rows:
        values = [run.outcome(score.key).value for run in row.runs]
        middle = summarize(values, score.better is True).median
        if middle is not None and not row.is_baseline:
            found[row.label] = middle
    return dict(sorted(found.items(), key=lambda each: each[1], reverse=score.better is True))


@dataclass(frozen=True)
class MeanRank:
    """One entry among all entries, over several scores."""

    entry: str
    mean: float
    """From 1, the best, to the number of entries: averaged over scores, then over seeds."""
    interval: tuple[float, float] | None
    """95 %, by Student's t over seeds; ``None`` with fewer than three."""
    first_in: int
    """In how many scores its median is the best, alone or with others."""


def mean_ranks(rows: Sequence[EntryRuns], scores: Sequence[Quantity]) -> list[MeanRank]:
    """All entries, best first, ranked in each score and with each seed that all of them ran; a run
    without the score ranks last, and equal ones share the mean of their ranks. All scores count the
    same. Empty without a seed in common, or below two entries."""
    entries = [row for row in rows if not row.is_baseline and row.runs]
    by_seed = [{run.seed: run for run in row.runs if run.seed is not None} for row in entries]
    seeds = sorted(set.intersection(*map(set, by_seed))) if by_seed else []
    if len(entries) < 2 or not seeds or not scores:
        return []
    ranks = np.empty((len(scores), len(seeds), len(entries)))
    first = np.zeros(len(entries), dtype=int)
    for number, score in enumerate(scores):
        sign = -1.0 if score.better is True else 1.0
        found = [[runs[seed].outcome(score.key).value for seed in seeds] for runs in by_seed]
        losses = np.array([[np.inf if v is None else sign * v for v in row] for row in found])
        ranks[number] = rankdata(losses.T, axis=1)
        middle = np.median(losses, axis=1)
        first += (middle == middle.min()) & np.isfinite(middle)
    over_seeds = ranks.mean(axis=0)
    made = [
        MeanRank(
            row.label, float(of_row.mean()), _clipped(of_row.tolist(), len(entries)), int(best)
        )
        for row, of_row, best in zip(entries, over_seeds.T, first, strict=True)
    ]
    return sorted(made, key=lambda each: each.mean)


def _clipped(ranks: Sequence[float], most: int) -> tuple[float, float] | None:
    found = mean_interval(ranks)
    return None if found is None else (max(1.0, found[0]), min(float(most), found[1]))
