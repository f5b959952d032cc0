"""Runs of a grid of settings → how much each entry depends on them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from genbench.analysis.cells import MISSING, number
from genbench.analysis.columns import Quantity, comparison_quantities
from genbench.analysis.document import Document, Section, Table, text_table
from genbench.analysis.statistics import (
    LEAST_SEEDS,
    LEVEL,
    Intervals,
    expected_best,
    intervals,
    near_best,
    setting_score,
)
from genbench.api import REAL
from genbench.store.protocol import Protocol, describe
from genbench.store.records import Record
from genbench.suite import Grid, GridPoint

LOSSES = ("diverged", "collapsed", "not trained", "failed")
"""The statuses of runs that were lost."""


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
    """How many of its runs were lost in which way."""


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
    columns = comparison_quantities(records, protocol)
    column = next((c for c in columns if c.key == score), Quantity(score, score, ""))
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
    name: str, point: GridPoint, runs: Sequence[Record], real: Record | None, column: Quantity
) -> Trial:
    values = [run.outcome(column.key).value for run in runs]
    fates = [run.outcome(real=real).status for run in runs]
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
    column: Quantity,
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


TRIALS = (1, 2, 4)
"""Of which the summary shows the expected best; a section has all."""


def document(found: Sequence[Sensitivity], left_out: Mapping[str, str]) -> Document:
    """A row an entry; then, at length, every setting and every number of trials. ``left_out``: the
    entries that were not crossed with the grid, with the reason."""
    data = {"entries": [asdict(each) for each in found], "left_out": dict(left_out)}
    if not found:
        return Document(
            (Section("No entry fits the data at any point of the grid", level=1),), data
        )
    first = found[0]
    arrow = "↑" if first.higher_is_better else "↓"
    summary = Section(
        f"{first.heading} {arrow} over {', '.join(first.trials[0].settings)}",
        (_summary(found), _budgets(found)),
        tuple(_lost(found)),
        (*_notes(found), describe(first.protocol)),
        level=1,
    )
    each_at_length = (
        Section(each.entry, (_settings(each), _curve(each)), long=True) for each in found
    )
    return Document((summary, *each_at_length), data)


def _summary(found: Sequence[Sensitivity]) -> Table:
    rows = [
        [
            each.entry,
            str(len(each.trials)),
            _expected(each, len(each.trials)),
            MISSING if each.best is None else each.best.setting.replace(" · ", " ·\n"),
            _near(each),
            ",\n".join(f"{len(n)} {loss}" for loss in LOSSES if (n := each.losing(loss))),
        ]
        for each in found
    ]
    within = f"within {found[0].factor:g}×"
    return text_table(("entry", "trials", "best found", "at", within, "lost"), rows, "lrrrrl")


def _budgets(found: Sequence[Sensitivity]) -> Table:
    """The expected best of few trials."""
    most = max(len(each.trials) for each in found)
    counts = [k for k in TRIALS if k < most]
    rows = [[each.entry, *(_expected(each, k) for k in counts)] for each in found]
    return text_table(("entry", *(f"best of {k}" for k in counts)), rows, "l" + "r" * len(counts))


def _expected(each: Sensitivity, k: int) -> str:
    """The expected best of k trials with its interval; empty beyond those that there are."""
    if k > len(each.trials):
        return ""
    said = number(each.expected[k - 1])
    if each.intervals is None:
        return said
    ends = each.intervals.expected[k - 1]
    return said if ends == (None, None) else f"{said}\n[{', '.join(map(number, ends))}]"


def _near(each: Sensitivity) -> str:
    if each.near is None:
        return MISSING
    said = f"{each.near} of {len(each.trials)}"
    if each.intervals is None or each.intervals.near is None:
        return said
    low, high = each.intervals.near
    return f"{said}\n[{low}, {high}]"


def _lost(found: Sequence[Sensitivity]) -> list[str]:
    """What diverged, collapsed, failed or cannot fit, by entry, with the settings."""
    lines = []
    for each in found:
        for loss in LOSSES:
            if losing := each.losing(loss):
                settings = "; ".join(_losing(each, trial, loss) for trial in losing)
                lines.append(f"{each.entry} {loss} at {settings}.")
        if each.skipped:
            lines.append(f"{each.entry} cannot fit, which is no trial: {'; '.join(each.skipped)}.")
    return lines


def _losing(each: Sensitivity, trial: Trial, loss: str) -> str:
    some = trial.lost[loss] < each.seeds
    return f"{trial.setting} ({trial.lost[loss]} of {each.seeds})" if some else trial.setting


def _notes(found: Sequence[Sensitivity]) -> list[str]:
    first = found[0]
    seeds = "that of one seed" if first.seeds == 1 else f"the median over {first.seeds} seeds"
    within = "at least the best over" if first.higher_is_better else "at most the best times"
    notes = [
        f"A setting's score is {seeds}, runs that diverged or failed ranked last. The best "
        "was chosen by the same score, which is therefore optimistic.",
        f"Within {first.factor:g}×: {within} {first.factor:g}, the best among them.",
        "Best of k: the expected one, over all ways to try k different settings of this grid "
        f"(Dodge et al. 2019, without replacement as in Tang et al. 2020); {MISSING} where all k "
        "may be without a score.",
        f"[low, high]: {LEVEL:.0%} bootstrap intervals over seeds, too narrow at few, for this "
        "very grid."
        if first.intervals is not None
        else f"No intervals: {LEAST_SEEDS} seeds are the least for them.",
    ]
    for each in found:
        if each.best is None:
            notes.append(f"{each.entry}: no setting has a score.")
        elif each.near is None:
            said = "a score is negative, or the best is 0, so that a factor means nothing"
            notes.append(f"{each.entry}: within {each.factor:g}× is undefined: {said}.")
    return notes


def _settings(each: Sensitivity) -> Table:
    rows = [
        [
            trial.setting,
            number(trial.score),
            _over_best(each, trial),
            f"{sum(value is not None for value in trial.values)} of {each.seeds}",
            ", ".join(f"{count} {loss}" for loss, count in trial.lost.items() if count),
        ]
        for trial in each.trials
    ]
    headings = "setting", each.heading, "over the best", "runs scored", "runs lost"
    return text_table(headings, rows, "lrrrr")


def _over_best(each: Sensitivity, trial: Trial) -> str:
    """Empty where a ratio means nothing."""
    if each.near is None or each.best is None or not each.best.score or trial.score is None:
        return ""
    return f"{trial.score / each.best.score:.3g}"


def _curve(each: Sensitivity) -> Table:
    trials = range(1, len(each.trials) + 1)
    rows = [[str(k), _expected(each, k)] for k in trials]
    return text_table(("trials", "expected best"), rows, "lr")
