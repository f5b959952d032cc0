"""Records → comparison tables: one for each scoring protocol, never a mixture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from genbench.analysis.cells import MISSING, cell, column_decimals, quantity
from genbench.analysis.columns import (
    COUNTS,
    CVAR,
    IQR,
    NOT_TRAINED,
    OVER_SEEDS,
    Quantity,
    comparison_quantities,
)
from genbench.analysis.diagnostics import diagnostics
from genbench.analysis.document import EMPTY, Cell, Column, Document, Row, Section, Table
from genbench.analysis.entry_runs import EntryRuns, by_protocol, entry_runs, real_baseline
from genbench.analysis.notes import SEEDS_FOR_BOLD, comparison_details, comparison_notes, outcomes
from genbench.analysis.rankings import extractor_notes
from genbench.analysis.statistics import Summary, summarize
from genbench.store.protocol import Protocol, protocol_differences
from genbench.store.records import Record, tidy_rows


@dataclass(frozen=True)
class Comparison:
    """The runs of one scoring protocol, side by side."""

    title: str
    protocol: Protocol
    quantities: Mapping[str, Quantity]
    """Of the columns, by key."""
    entry_runs: tuple[EntryRuns, ...]
    """The runs behind the rows."""
    table: Table
    notes: tuple[str, ...]
    outcomes: tuple[str, ...] = ()
    details: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def section(self, title: str | None = None) -> Section:
        """It as a part of a document, under its own title or another."""
        return Section(
            title or self.title, (self.table,), self.outcomes, self.notes, dict(self.details)
        )


def document(records: Sequence[Record]) -> Document:
    """The comparisons, then the diagnostics of training where there are any."""
    compared = comparison(records)
    extra = diagnostics(rows_of(records, compared))
    sections = [each.section() for each in compared]
    return Document((*sections, *([extra] if extra else [])), *of_records(records))


def of_records(records: Sequence[Record]) -> tuple[Any, Callable[[], Sequence[Mapping[str, Any]]]]:
    """The data and the tidy rows of a document about ``records``."""
    return [record.to_dict() for record in records], partial(tidy_rows, records)


def rows_of(records: Sequence[Record], compared: Sequence[Comparison]) -> Sequence[EntryRuns]:
    """The rows of all records, whatever their protocol: those of the comparison, if it is one."""
    return compared[0].entry_runs if len(compared) == 1 else entry_runs(records)


def comparison(records: Sequence[Record]) -> list[Comparison]:
    """One for each scoring protocol, in the order of the records."""
    groups = by_protocol(records)
    found = [_compared(protocol, members) for protocol, members in groups]
    if len(found) < 2:
        return found
    first = groups[0][0]
    rankings = extractor_notes([(each.protocol, each.entry_runs) for each in found])
    return [
        _set_apart(each, i + 1, protocol_differences(first, each.protocol), rankings.get(i, []))
        for i, each in enumerate(found)
    ]


def _set_apart(
    found: Comparison, number: int, differences: Sequence[str], rankings: Sequence[str]
) -> Comparison:
    apart = [f"Not comparable with protocol 1; there against here: {'; '.join(differences)}."]
    notes = (found.notes[0], *(apart if differences else []), *rankings, *found.notes[1:])
    return replace(found, title=f"{found.title}, protocol {number}", notes=notes)


def _compared(protocol: Protocol, records: Sequence[Record]) -> Comparison:
    rows = entry_runs(records)
    quantities = comparison_quantities(records, protocol)
    statuses = _statuses(rows)
    by_column = [_column_cells(each, rows, statuses) for each in quantities]
    kept = [
        (each, cells)
        for each, cells in zip(quantities, by_column, strict=True)
        if each.key != NOT_TRAINED or any(cell.value for cell in cells)
    ]
    suites = dict.fromkeys(record.suite for record in records)
    datasets = dict.fromkeys(record.dataset for record in records)
    table = Table(
        (Column("entry", "entry", numeric=False), *(each.column() for each, _ in kept)),
        tuple(
            Row((Cell(row.label), *(cells[i] for _, cells in kept)), row.is_baseline)
            for i, row in enumerate(rows)
        ),
    )
    return Comparison(
        title=f"{', '.join(suites)} on {', '.join(datasets)}",
        protocol=protocol,
        quantities={each.key: each for each, _ in kept},
        entry_runs=tuple(rows),
        table=table,
        notes=tuple(comparison_notes(protocol, rows)),
        outcomes=tuple(outcomes(rows)),
        details=comparison_details(rows),
    )


def _statuses(rows: Sequence[EntryRuns]) -> list[Counter[str]]:
    """By row, what became of how many of its runs."""
    real = real_baseline(rows)
    return [Counter(record.outcome(real=real).status for record in row.runs) for row in rows]


def _column_cells(
    column: Quantity, rows: Sequence[EntryRuns], statuses: Sequence[Counter[str]]
) -> list[Cell]:
    if column.key in COUNTS:
        return [_lost(column, row, of_row) for row, of_row in zip(rows, statuses, strict=True)]
    summaries = [_summary(column, row) for row in rows]
    shown = [_shown(column, summary) for summary in summaries]
    decimals = column_decimals(column, [value for value in shown if value is not None])
    best = _best(column, rows, summaries, decimals)
    return [
        _cell(column, row, summary, decimals, best)
        for row, summary in zip(rows, summaries, strict=True)
    ]


def _summary(column: Quantity, row: EntryRuns) -> Summary:
    if column.unconditional:
        known = [column.read(record) for record in row.runs]
        return summarize([value for value in known if value is not None])
    values = [column.counted(record) for record in row.runs if not column.undefined(record)]
    return summarize(values, higher_is_better=not column.highest_last)


def _shown(column: Quantity, summary: Summary) -> float | None:
    return {IQR: summary.iqr, CVAR: summary.cvar}.get(column.key, summary.median)


def _best(
    column: Quantity, rows: Sequence[EntryRuns], summaries: Sequence[Summary], decimals: int
) -> float | None:
    """The best mean, rounded as it is shown; ``None`` if nothing may be called best."""
    contest = [s for row, s in zip(rows, summaries, strict=True) if not row.is_baseline and s.k > 0]
    means = [s.mean for s in contest if s.mean is not None]
    if column.better is None or column.key in OVER_SEEDS or len(contest) < 2 or not means:
        return None
    if any(s.n < SEEDS_FOR_BOLD for s in contest):
        return None
    return round(max(means) if column.better else min(means), decimals)


def _cell(
    column: Quantity, row: EntryRuns, summary: Summary, decimals: int, best: float | None
) -> Cell:
    if row.is_baseline:
        return _floor(column, row, summary, decimals)
    if summary.k == 0:
        return _nothing(row)
    if column.key in OVER_SEEDS:
        return _over_seeds(column, summary, decimals)
    bold = summary.mean is not None and round(summary.mean, decimals) == best
    return replace(cell(column, summary, decimals), bold=bold)


def _floor(column: Quantity, row: EntryRuns, summary: Summary, decimals: int) -> Cell:
    if summary.k == 0 or column.key in OVER_SEEDS:
        return EMPTY
    score = row.records[0].scores.get(column.key)
    over_draws = None if score is None else score.get("deviation")
    return cell(column, replace(summary, deviation=over_draws), decimals)


def _over_seeds(column: Quantity, summary: Summary, decimals: int) -> Cell:
    shown = _shown(column, summary)
    if shown is not None:
        return Cell(quantity(column, shown, None, decimals), shown)
    return EMPTY if summary.n < 2 else Cell(f"{MISSING} ({summary.k} of {summary.n})")


def _nothing(row: EntryRuns) -> Cell:
    statuses = {record.status for record in row.runs}
    if not statuses:
        return Cell("skipped")
    if statuses == {"failed"}:
        return Cell("failed")
    return EMPTY if statuses == {"done"} else Cell(f"{MISSING} (0 of {len(row.runs)})")


def _lost(column: Quantity, row: EntryRuns, statuses: Counter[str]) -> Cell:
    if row.is_baseline:
        return EMPTY
    judged = len(row.runs) - statuses["failed"]
    if not judged:
        return _nothing(row)
    lost = statuses[column.key]
    return Cell(f"{lost} of {judged}", lost / judged)
