"""A measured row → the suite that runs it again; and whether it came to the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from genbench.analysis.entrants import entrants
from genbench.analysis.statistics import mean_interval
from genbench.api.errors import DataError, UnknownName
from genbench.store.records import Record
from genbench.suite import OPTIONS

Outcome: TypeAlias = Literal["inside", "outside", "undecided"]

LIKELIHOOD = "bits_per_dim"
"""A score that is asked for by itself, not among the metrics."""


@dataclass(frozen=True)
class Reproduction:
    """One score of a row, measured and run again."""

    score: str
    measured: float | None
    """Mean over the runs of the row; ``None`` where one came to no value."""
    low: float | None
    """Ends of the 95 % prediction interval: where the mean of so many further runs is to be
    expected; ``None`` for a single run."""
    high: float | None
    again: float | None
    """Mean over the runs made now."""
    identical: int
    """Seeds that came to the same number, to the last bit."""
    seeds: int
    """That were run again."""
    outcome: Outcome


def row(records: Sequence[Record], label: str) -> tuple[Record, ...]:
    """The runs of the row of that label in the comparison table. Raises ``UnknownName``;
    ``DataError`` where none came to an end."""
    rows = {entrant.label: entrant for entrant in entrants(records) if not entrant.real}
    if label not in rows:
        raise UnknownName("row", label, rows)
    ended = tuple(run for run in rows[label].runs if run.status in ("done", "diverged"))
    if not ended:
        raise DataError(f"{label}: no run came to an end, so there is nothing to reproduce")
    return ended


def recipe(runs: Sequence[Record]) -> dict[str, Any]:
    """The content of a suite whose only entry is trained, sampled and scored as ``runs``, the seeds
    of one row, were. Along training nothing is scored: records do not say how it was."""
    first = runs[0]
    protocol, conditions = first.protocol, first.conditions
    options, sample = dict(conditions["options"]), dict(conditions["sample"])
    points = {snapshot["examples"] for run in runs for snapshot in run.snapshots}
    score = {
        "extractor": protocol["extractor"].partition("@")[0],
        "reference": protocol["reference"].partition("@")[0],
        "metrics": [name for name in first.better if name != LIKELIHOOD],
        "snapshots": {"count": max(1, len(points)), "metrics": []},
        "seed": protocol.get("seed", 0),
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

    ``inside``: their mean is within the 95 % prediction interval of Student's t, or every seed came
    to the same number. Seeds that both have are no independent draws, and nearer than that.
    ``undecided``: one run has no interval. A run that diverged on one side only is ``outside``.
    """
    ours, theirs = ([_value(run, score) for run in runs] for runs in (before, after))
    by_seed = {run.seed: _value(run, score) for run in before}
    identical = sum(
        run.seed in by_seed and by_seed[run.seed] == value
        for run, value in zip(after, theirs, strict=True)
    )
    known, again = _known(ours), _known(theirs)
    interval = None if known is None else mean_interval(known, further=len(after))
    low, high = interval or (None, None)
    outcome: Outcome = "undecided"
    if identical == len(after):
        outcome = "inside"
    elif known is None or again is None:
        outcome = "undecided" if (known is None) == (again is None) else "outside"
    elif low is not None and high is not None:
        outcome = "inside" if low <= _mean(again) <= high else "outside"
    return Reproduction(
        score,
        None if known is None else _mean(known),
        low,
        high,
        None if again is None else _mean(again),
        identical,
        len(after),
        outcome,
    )


def _value(run: Record, score: str) -> float | None:
    return run.value(score) if run.status == "done" else None


def _known(values: Sequence[float | None]) -> list[float] | None:
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else None


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
