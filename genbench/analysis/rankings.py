"""Whether who is better depends on the extractor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from scipy.stats import kendalltau

from genbench.analysis.columns import headline
from genbench.analysis.entry_runs import EntryRuns
from genbench.analysis.statistics import summarize
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
        a, b = _medians(one, first), _medians(other, second)
        common = [label for label in a if label in b]
        swapped = [(x, y) for x, y in combinations(common, 2) if (a[x] - a[y]) * (b[x] - b[y]) < 0]
        if swapped:
            notes.setdefault(j, []).append(
                _said(i + 1, a, b, common, swapped, _heading(one, first))
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


def _heading(rows: Sequence[EntryRuns], protocol: Protocol) -> str:
    return headline([record for row in rows for record in row.records], protocol).heading


def _medians(rows: Sequence[EntryRuns], protocol: Protocol) -> dict[str, float]:
    """The median headline score of each entry that has one, diverged runs ranked last."""
    score = headline([record for row in rows for record in row.records], protocol)
    found = {}
    for row in rows:
        values = [run.outcome(score.key).value for run in row.runs]
        middle = summarize(values, score.better is True).median
        if middle is not None and not row.real:
            found[row.label] = middle
    return found
