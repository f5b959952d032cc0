"""The tables beside that of all scores: overall ranks, each entry against another, every seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from genbench.analysis.cells import MISSING, column_decimals, quantity
from genbench.analysis.columns import OVER_SEEDS, Quantity
from genbench.analysis.contrasts import Contrast, contrasts
from genbench.analysis.document import EMPTY, Cell, Column, Row, Section, Table
from genbench.analysis.entry_runs import EntryRuns, real_baseline
from genbench.analysis.notes import listed
from genbench.analysis.pairs import TONES
from genbench.analysis.rankings import MeanRank, mean_ranks, medians
from genbench.analysis.statistics import LEVEL
from genbench.store.records import Record

MOST_BASELINES = 12
"""Entries, beyond which each is compared with the best one only: their tables would fill the
page."""
MANY_SEEDS = 10
"""Seeds, beyond which their table may be cut into several."""
LEAST_P = 0.001
"""Below it, a p-value is not spelt out."""
LOST = ("diverged", "collapsed", "not trained", "failed", "skipped")


def overall_ranking(
    rows: Sequence[EntryRuns], quantities: Mapping[str, Quantity]
) -> Section | None:
    """All entries by their mean rank over all scores that have a better direction; ``None`` for
    one entry, and without a seed that all of them ran."""
    scores = [
        each
        for each in quantities.values()
        if each.path[:1] == ("scores",) and each.better is not None and each.key not in OVER_SEEDS
    ]
    ranks = mean_ranks(rows, scores)
    if not ranks:
        return None
    columns = (
        Column("entry", "entry", numeric=False),
        Column("mean_rank", "mean rank", better=False),
        Column("interval", f"{LEVEL:.0%} interval"),
        Column("first_in", "first in"),
    )
    table = Table(columns, tuple(_rank(each, len(scores)) for each in ranks))
    return Section(
        "Overall ranking",
        (table,),
        level=3,
        lead="The mean rank over all scores and over the seeds that all entries ran; 1 is best.",
        notes=(
            f"Every score counts the same: {listed(score.heading for score in scores)}. A run "
            "without a score ranks last in it. The interval is over seeds, from three of them on.",
        ),
    )


def _rank(rank: MeanRank, scores: int) -> Row:
    low, high = rank.interval or (None, None)
    interval = Cell(MISSING)
    if low is not None and high is not None:
        interval = Cell(f"{low:.2f} to {high:.2f}", low)
    return Row(
        (
            Cell(rank.entry),
            Cell(f"{rank.mean:.2f}", rank.mean),
            interval,
            Cell(f"{rank.first_in} of {scores} scores", rank.first_in),
        )
    )


def against(rows: Sequence[EntryRuns], score: Quantity) -> dict[str, Section]:
    """By baseline, the best one first: each other entry against it, in the headline ``score``.
    Empty where fewer than two entries were started, or none has the score."""
    started = [row.label for row in rows if row.runs and not row.is_baseline]
    ranked = list(medians(rows, score))
    if len(started) < 2 or not ranked:
        return {}
    baselines = [*ranked, *(label for label in started if label not in ranked)]
    chosen = baselines if len(baselines) <= MOST_BASELINES else baselines[:1]
    order = {label: place for place, label in enumerate(baselines)}
    return {
        baseline: _against(
            sorted(contrasts(rows, score, baseline), key=lambda each: order[each.entry]),
            score,
            baseline,
        )
        for baseline in chosen
    }


def _against(found: Sequence[Contrast], score: Quantity, baseline: str) -> Section:
    ratio = found[0].ratio
    word = "ratio" if ratio else "difference"
    columns = (
        Column("entry", "entry", numeric=False),
        Column(word, word, better=score.better is True),
        Column("interval", f"{LEVEL:.0%} interval"),
        Column("share", "better in"),
        Column("p", "p, corrected"),
        Column("outcome", f"than {baseline}", numeric=False),
    )
    calculated = (
        f"The {score.heading} of each entry divided by that of {baseline}: geometric means"
        if ratio
        else f"The {score.heading} of each entry less that of {baseline}: means"
    )
    return Section(
        f"Each entry against {baseline}",
        (Table(columns, tuple(map(_contrast, found))),),
        level=3,
        lead=f"{calculated} over seeds. {'Higher' if score.better is True else 'Lower'} is better.",
        notes=(
            "“Better in” is the share of the pairs of runs, one of each entry, in which the entry "
            "is better, ties counting half. p is of Welch's t-test"
            f"{' of logarithms' if ratio else ''}, corrected by Holm over the entries of this "
            f"table; an outcome is decided below {1 - LEVEL:.2g}.",
        ),
    )


def _contrast(each: Contrast) -> Row:
    difference, p = each.judgement.difference, each.judgement.adjusted_p
    middle = interval = Cell(MISSING)
    if difference is not None:
        ends = (difference.value, difference.low, difference.high)
        value, low, high = map(math.exp, ends) if each.ratio else ends
        middle, interval = Cell(_said(value), value), Cell(f"{_said(low)} to {_said(high)}", low)
    outcome = each.judgement.outcome
    said = f"{outcome}: {each.judgement.reason}" if p is None or outcome == "undecided" else outcome
    return Row(
        (
            Cell(each.entry),
            middle,
            interval,
            Cell(f"{100 * each.share:.0f} %", each.share),
            Cell(MISSING) if p is None else Cell(_p(p), p),
            Cell(said, tone=TONES[outcome]),
        )
    )


def _said(value: float) -> str:
    """To three significant digits."""
    return f"{value:#.3g}".removesuffix(".")


def _p(p: float) -> str:
    return f"{p:.2g}" if p >= LEAST_P else f"< {LEAST_P:g}"


def seed_table(rows: Sequence[EntryRuns], score: Quantity) -> Section | None:
    """The headline ``score`` of every run, best entries first; what has none says why. ``None``
    without entries."""
    entries = [row for row in rows if not row.is_baseline]
    seeds = sorted({r.seed for row in entries for r in row.records if r.seed is not None})
    if not seeds:
        return None
    order = {label: place for place, label in enumerate(medians(rows, score))}
    entries.sort(key=lambda row: order.get(row.label, len(order)))
    real = real_baseline(rows)
    values = [score.read(record) for row in entries for record in row.records]
    decimals = column_decimals(score, [value for value in values if value is not None])
    made = []
    for row in entries:
        by_seed = {record.seed: record for record in row.records}
        cells = [_run(by_seed.get(seed), score, real, decimals) for seed in seeds]
        made.append(Row((Cell(row.label), *cells)))
    # A table of groups is cut where it is too wide.
    group = "seeds" if len(seeds) > MANY_SEEDS else ""
    columns = (
        Column("entry", "entry", numeric=False),
        *(Column(f"seed {seed}", f"seed {seed}", group) for seed in seeds),
    )
    return Section(f"{score.heading}, seed by seed", (Table(columns, tuple(made)),), level=3)


def _run(record: Record | None, score: Quantity, real: Record | None, decimals: int) -> Cell:
    if record is None:
        return EMPTY
    outcome = record.outcome(score.key, real)
    lost = outcome.status in LOST
    if outcome.value is None:
        return Cell(outcome.status if lost else MISSING, tone="bad" if lost else "")
    text = quantity(score, outcome.value, None, decimals)
    return Cell(
        f"{text} {outcome.status}" if lost else text, outcome.value, tone="bad" if lost else ""
    )
