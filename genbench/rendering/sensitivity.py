"""Sensitivities to read, on a terminal or as Markdown, and to compute with, as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from json import dumps
from typing import TYPE_CHECKING

from genbench.analysis.sensitivity import LOSSES, Sensitivity, Trial
from genbench.analysis.statistics import LEAST_SEEDS, LEVEL
from genbench.rendering import markup
from genbench.store.protocol import describe

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

TRIALS = (1, 2, 4)
"""Of which the summary shows the expected best; the Markdown has all."""
MISSING = "—"
NAME = 9
"""Characters that the words of a row keep of a narrow terminal's line."""


def show(found: Sequence[Sensitivity], console: Console | None = None) -> None:
    """Print a row an entry, and beneath it what was lost and how to read it. ``console``: standard
    output by default."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = console or Console()
    console.print(Text(_title(found), style="bold"))
    if not found:
        return
    for rows in (_summary(found), _budgets(found)):
        console.print(_terminal_table(rows))
        console.print()
    for lines, style in ((_lost(found), "yellow"), (_notes(found), "dim")):
        for line in lines:
            console.print(Padding(Text(line, style=style), (0, 0, 0, 1)))


def _terminal_table(rows: Sequence[Sequence[str]]) -> RichTable:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    headings, *body = rows
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for heading in headings:
        words = heading in ("entry", "lost")  # may be broken, to keep numbers whole
        least = NAME if words else None
        table.add_column(heading, no_wrap=not words, min_width=least, overflow="fold")
    for entry, *cells in body:
        table.add_row(Text(entry), *(Text(cell.replace(" · ", "\n")) for cell in cells))
    return table


def markdown(found: Sequence[Sensitivity]) -> str:
    """The same, then every setting, and the expected best of every number of trials."""
    parts = [f"# {markup.markdown(_title(found))}\n\n{_table(_summary(found))}\n"]
    parts.append(f"{_table(_budgets(found))}\n")
    parts += [f"- {markup.markdown(line)}\n" for line in [*_lost(found), *_notes(found)]]
    for each in found:
        parts.append(f"\n## {markup.markdown(each.entry)}\n\n{_table(_settings(each))}")
        parts.append(f"\n{_table(_curve(each))}")
    if found:
        parts.append(f"\n{markup.markdown(describe(found[0].protocol))}\n")
    return "".join(parts)


def json(found: Sequence[Sensitivity], left_out: Mapping[str, str]) -> str:
    """All of it, and the entries that were ``left_out`` of the grid, with the reason."""
    told = {"entries": [asdict(each) for each in found], "left_out": dict(left_out)}
    return dumps(told, ensure_ascii=False, indent=1) + "\n"


def _title(found: Sequence[Sensitivity]) -> str:
    if not found:
        return "No entry fits the data at any point of the grid"
    first = found[0]
    keys = ", ".join(first.trials[0].settings)
    return f"{first.heading} {'↑' if first.higher_is_better else '↓'} over {keys}"


def _summary(found: Sequence[Sensitivity]) -> list[list[str]]:
    """The headings, then a row an entry; a line break in a cell keeps a terminal's row narrow."""
    within = f"within {found[0].factor:g}×" if found else ""
    rows = [
        [
            each.entry,
            str(len(each.trials)),
            _expected(each, len(each.trials)),
            MISSING if each.best is None else each.best.setting,
            _near(each),
            " · ".join(f"{len(n)} {loss}" for loss in LOSSES if (n := each.losing(loss))),
        ]
        for each in found
    ]
    return [["entry", "trials", "best found", "at", within, "lost"], *rows]


def _budgets(found: Sequence[Sensitivity]) -> list[list[str]]:
    """The expected best of few trials."""
    most = max((len(each.trials) for each in found), default=0)
    counts = [k for k in TRIALS if k < most]
    rows = [[each.entry, *(_expected(each, k) for k in counts)] for each in found]
    return [["entry", *(f"best of {k}" for k in counts)], *rows]


def _expected(each: Sensitivity, k: int) -> str:
    """The expected best of k trials with its interval; empty beyond those that there are."""
    if k > len(each.trials):
        return ""
    said = _number(each.expected[k - 1])
    if each.intervals is None:
        return said
    ends = each.intervals.expected[k - 1]
    return said if ends == (None, None) else f"{said}\n[{', '.join(map(_number, ends))}]"


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
    if not found:
        return []
    first = found[0]
    seeds = "that of one seed" if first.seeds == 1 else f"the median over {first.seeds} seeds"
    within = "at least the best over" if first.higher_is_better else "at most the best times"
    notes = [
        f"A setting's score is {seeds}, runs that diverged or failed ranked last. The best "
        "was chosen by the score that stands there, which flatters it.",
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


def _settings(each: Sensitivity) -> list[list[str]]:
    rows = [
        [
            trial.setting,
            _number(trial.score),
            _over_best(each, trial),
            f"{sum(value is not None for value in trial.values)} of {each.seeds}",
            ", ".join(f"{count} {loss}" for loss, count in trial.lost.items() if count),
        ]
        for trial in each.trials
    ]
    return [["setting", each.heading, "over the best", "runs scored", "runs lost"], *rows]


def _over_best(each: Sensitivity, trial: Trial) -> str:
    """Empty where a ratio means nothing."""
    if each.near is None or each.best is None or not each.best.score or trial.score is None:
        return ""
    return f"{trial.score / each.best.score:.3g}"


def _curve(each: Sensitivity) -> list[list[str]]:
    trials = range(1, len(each.trials) + 1)
    return [["trials", "expected best"], *([str(k), _expected(each, k)] for k in trials)]


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.4g}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    headings, *body = ([markup.markdown(cell) for cell in row] for row in rows)
    return markup.markdown_table("l" + "r" * (len(headings) - 1), headings, body)
