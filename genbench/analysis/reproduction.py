"""A measured row → the suite that repeats it; and whether the scores agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from genbench.analysis.cells import MISSING, number
from genbench.analysis.document import Cell, Document, Section, Tone, text_table
from genbench.analysis.entry_runs import entry_runs
from genbench.analysis.notes import imported_from
from genbench.analysis.statistics import centre, mean_interval
from genbench.api.errors import DataError, UnknownName
from genbench.api.metrics import LIKELIHOOD
from genbench.store.protocol import criteria
from genbench.store.records import Record
from genbench.suite import OPTIONS

Agreement: TypeAlias = Literal["inside", "outside", "undecided"]


WIDE = 100.0
"""Ends of an interval that lie further apart than by this factor say nothing."""
TOO_FEW = "too few seeds to judge"


@dataclass(frozen=True)
class Reproduction:
    """One score of a row, measured and run again."""

    score: str
    measured: float | None
    """Mean over the runs of the row; ``None`` if one has no value."""
    low: float | None
    """Ends of the 95 % prediction interval: where the mean of so many further runs is to be
    expected; ``None`` for a single run."""
    high: float | None
    again: float | None
    """Mean over the runs made now."""
    identical: int
    """The number of seeds with the same value, bit for bit."""
    seeds: int
    """That were run again."""
    outcome: Agreement
    reason: str = ""
    """Why, where the interval does not say it."""


def row(records: Sequence[Record], label: str) -> tuple[Record, ...]:
    """The runs of the row of that label in the comparison table. Raises ``UnknownName``;
    ``DataError`` if none came to an end."""
    rows = {row.label: row for row in entry_runs(records) if not row.is_baseline}
    if label not in rows:
        raise UnknownName("row", label, rows)
    ended = tuple(run for run in rows[label].runs if run.completed or run.status == "diverged")
    if not ended:
        raise DataError(f"{label}: no run has finished, so there is nothing to reproduce")
    return ended


def recipe(runs: Sequence[Record]) -> dict[str, Any]:
    """The content of a suite whose only entry is trained, sampled and scored as ``runs``, the seeds
    of one row, were. Along training nothing is scored: records do not say how it was.

    Raises ``DataError`` for imported samples, and ``KeyError`` naming what a record does not say.
    """
    first, by = runs[0], criteria(runs[0].protocol)
    if origin := imported_from(runs):
        raise DataError(f"{first.entry} {origin}")
    protocol, conditions = first.protocol, first.conditions
    options, sample = dict(conditions["options"]), dict(conditions["sample"])
    points = {snapshot["examples"] for run in runs for snapshot in run.snapshots}
    score = {
        "extractor": protocol["extractor"].partition("@")[0],
        "reference": protocol["reference"].partition("@")[0],
        "metrics": [name for name in first.outputs if name != LIKELIHOOD],
        "snapshots": {"count": max(1, len(points)), "metrics": []},
        "seed": protocol.get("seed", 0),
        "headline": by.headline,
        "collapse": {"score": by.collapse_score, "below": by.collapse_below},
    }
    if protocol.get("likelihood_samples"):
        score["likelihood"] = {"samples": protocol["likelihood_samples"]}
    return {
        "title": f"{first.entry} of {first.suite}, again",
        "dataset": first.dataset,
        "seeds": [run.seed for run in runs],
        "examples": max(1, conditions["examples"]),  # none where the weights were given
        "samples": protocol["samples"],
        "score": score,
        "train": {name: conditions[name] for name in OPTIONS if name in conditions},
        **({"prompts": conditions["prompts"]} if "prompts" in conditions else {}),
        # A model that samples another's weights had its own options resolved.
        "entries": {first.entry: {"model": first.trains, "options": options, "sample": sample}},
    }


def reproduced(before: Sequence[Record], after: Sequence[Record], score: str) -> Reproduction:
    """Whether ``after``, the runs made now, have the ``score`` that ``before`` makes one expect.

    ``inside``: their mean is within the 95 % prediction interval of Student's t, on a log scale for
    a distance, or every seed gave the same number. Seeds that both have are no independent
    draws, and nearer than that. A run that diverged on one side only is ``outside``.

    ``undecided``, with too few seeds to judge, where hardly any number could be outside: below
    three measured runs, and where the ends of the interval lie further apart than a factor of
    ``WIDE``.
    """
    ours, theirs = ([run.outcome(score).value for run in runs] for runs in (before, after))
    by_seed = {run.seed: value for run, value in zip(before, ours, strict=True)}
    identical = sum(
        run.seed in by_seed and by_seed[run.seed] == value
        for run, value in zip(after, theirs, strict=True)
    )
    known, again = _known(ours), _known(theirs)
    output = before[0].outputs.get(score)
    minimum = output.minimum if output else None
    interval = None if known is None else mean_interval(known, len(after), minimum=minimum)
    low, high = interval or (None, None)
    outcome, reason = _judged(known, again, interval, minimum)
    if identical == len(after):
        outcome, reason = "inside", ""
    return Reproduction(
        score,
        None if known is None else _mean(known),
        low,
        high,
        None if again is None else _mean(again),
        identical,
        len(after),
        outcome,
        reason,
    )


def _judged(
    known: Sequence[float] | None,
    again: Sequence[float] | None,
    interval: tuple[float, float] | None,
    minimum: float | None,
) -> tuple[Agreement, str]:
    if known is None or again is None:
        if known is None and again is None:
            return "undecided", "runs without a score on both sides"
        return "outside", "runs without a score on one side"
    if interval is None:
        return "undecided", TOO_FEW
    low, high = interval
    if 0 < low < high / WIDE:
        return "undecided", TOO_FEW
    # An interval of logarithms is one of geometric means.
    logarithmic = low > 0 and min(again) > 0 and minimum == 0
    mean = centre(again, 0 if logarithmic else None)
    return ("inside" if low <= mean <= high else "outside"), ""


def _known(values: Sequence[float | None]) -> list[float] | None:
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else None


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


TONES: dict[Agreement, Tone] = {"inside": "good", "outside": "bad", "undecided": "open"}
CONDITIONS = ("torch", "genbench", "device", "devices", "platform", "precision")


def document(label: str, found: Sequence[Reproduction], conditions: Sequence[str]) -> Document:
    """The comparison of the row ``label`` with its repetition; ``conditions``: what differs from
    when it was measured, a line each."""
    rows: list[list[str | Cell]] = [
        [
            each.score,
            number(each.measured),
            MISSING if each.low is None else f"{number(each.low)} and {number(each.high)}",
            number(each.again),
            f"{each.identical} of {each.seeds} seeds",
            Cell(each.reason or each.outcome, tone=TONES[each.outcome]),
        ]
        for each in found
    ]
    headings = "score", "measured", "expected between", "again", "identical", "outcome"
    section = Section(label, (text_table(headings, rows, "lrrrrl"),), outcomes=tuple(conditions))
    scores = [asdict(each) for each in found]
    return Document((section,), {"row": label, "conditions": list(conditions), "scores": scores})


def changed_conditions(before: Record, after: Record) -> list[str]:
    """What was otherwise than when the row was measured, a line each."""
    return [
        f"{name}: {before.conditions.get(name)} when it was measured, {value} now"
        for name, value in after.conditions.items()
        if name in CONDITIONS and before.conditions.get(name) != value
    ]
