"""Runs of a grid of settings → how much each entry depends on them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genbench.analysis.columns import Column, comparison_columns
from genbench.analysis.entrants import is_collapsed
from genbench.analysis.statistics import (
    Intervals,
    expected_best,
    intervals,
    near_best,
    setting_score,
)
from genbench.api import REAL
from genbench.store.protocol import Protocol
from genbench.store.records import Record
from genbench.suite import Grid, Point

LOSSES = ("diverged", "collapsed", "failed")
"""What may become of a run."""


@dataclass(frozen=True)
class Trial:
    """One entry at one point of the grid, over all its seeds."""

    name: str
    """Of the entry that was run, and of its records."""
    settings: Mapping[str, Any]
    setting: str
    """``learning_rate 0.001 · batch 32``."""
    values: tuple[float | None, ...]
    """By seed; ``None`` for a run that diverged, failed or was not scored. One that collapsed has
    its value."""
    score: float | None
    """Their median, runs without a value ranked last; ``None`` where it falls on one of them."""
    lost: Mapping[str, int]
    """How many of its runs diverged, collapsed and failed."""


@dataclass(frozen=True)
class Sensitivity:
    """Of one entry to the settings of a grid."""

    entry: str
    score: str
    heading: str
    higher_is_better: bool
    factor: float
    seeds: int
    """Of every trial."""
    trials: tuple[Trial, ...]
    """The settings that were tried: all but those that cannot fit."""
    skipped: tuple[str, ...]
    """The settings that cannot."""
    best: Trial | None
    """``None`` where none has a score. It was chosen by the score that it is reported by, so that
    this score flatters it."""
    near: int | None
    """How many trials are within ``factor`` of the best; ``None`` where that means nothing: a score
    is negative, the best is 0, or there is none."""
    expected: tuple[float | None, ...]
    """The expected best score of 1 … n trials, as ``statistics.expected_best`` says."""
    intervals: Intervals | None
    """Over seeds; ``None`` below five."""
    protocol: Protocol

    def losing(self, loss: str) -> list[Trial]:
        """The trials of which a run was lost so: one of ``LOSSES``."""
        return [trial for trial in self.trials if trial.lost[loss]]


def sensitivities(
    records: Sequence[Record], grid: Grid, score: str, factor: float
) -> list[Sensitivity]:
    """One for each entry that was crossed with ``grid``, by the ``records`` of one run of it; none
    for an entry that fits the data at no point."""
    runs: dict[str, list[Record]] = {}
    for record in records:
        runs.setdefault(record.entry, []).append(record)
    real = next(iter(runs.get(REAL, [])), None)
    protocol: Protocol = next((r.protocol for r in records if r.protocol), {})
    columns = comparison_columns(records, protocol)
    column = next((c for c in columns if c.key == score), Column(score, score, ""))
    found = []
    for entry in dict.fromkeys(point.entry for point in grid.points.values()):
        points = {name: point for name, point in grid.points.items() if point.entry == entry}
        fitting = [n for n in points if any(run.status != "skipped" for run in runs[n])]
        trials = [_trial(n, points[n], runs[n], real, column) for n in fitting]
        if trials:
            skipped = [point.setting for name, point in points.items() if name not in fitting]
            found.append(_judged(entry, trials, skipped, column, factor, protocol))
    return found


def _trial(
    name: str, point: Point, runs: Sequence[Record], real: Record | None, column: Column
) -> Trial:
    values = [run.value(column.key) if run.status == "done" else None for run in runs]
    fates = ["collapsed" if is_collapsed(run, real) else run.status for run in runs]
    return Trial(
        name=name,
        settings=point.settings,
        setting=point.setting,
        values=tuple(values),
        score=setting_score(values, column.better is True),
        lost={loss: fates.count(loss) for loss in LOSSES},
    )


def _judged(
    entry: str,
    trials: Sequence[Trial],
    skipped: Sequence[str],
    column: Column,
    factor: float,
    protocol: Protocol,
) -> Sensitivity:
    higher = column.better is True
    runs, scores = [trial.values for trial in trials], [trial.score for trial in trials]

    def loss(trial: Trial) -> float:
        if trial.score is None:
            return math.inf
        return -trial.score if higher else trial.score

    best = min(trials, key=loss)
    return Sensitivity(
        entry=entry,
        score=column.key,
        heading=column.heading,
        higher_is_better=higher,
        factor=factor,
        seeds=len(runs[0]),
        trials=tuple(trials),
        skipped=tuple(skipped),
        best=None if best.score is None else best,
        near=near_best(scores, factor, higher),
        expected=tuple(expected_best(scores, higher)),
        intervals=intervals(runs, factor, higher),
        protocol=protocol,
    )
