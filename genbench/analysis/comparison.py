"""Records → comparison tables: one for each scoring protocol, never a mixture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from genbench.analysis.cells import EMPTY, MISSING, Cell, cell, column_decimals, quantity
from genbench.analysis.columns import (
    COLLAPSED,
    CVAR,
    DIVERGED,
    IQR,
    OVER_SEEDS,
    Column,
    comparison_columns,
)
from genbench.analysis.entrants import Entrant, entrants, is_collapsed, real_baseline
from genbench.analysis.notes import SEEDS_FOR_BOLD, comparison_details, comparison_notes, outcomes
from genbench.analysis.protocols import by_protocol
from genbench.analysis.rankings import extractor_notes
from genbench.analysis.statistics import Summary, summarize
from genbench.store.protocol import Protocol, protocol_differences
from genbench.store.records import Record


@dataclass(frozen=True)
class Row:
    """One entry of a table."""

    label: str
    cells: tuple[Cell, ...]
    """One for each column."""
    real: bool = False
    """Whether it is the floor: the first row, and no contestant."""


@dataclass(frozen=True)
class Table:
    """A table, ready to be shown in any format."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    """What stands beneath it, a sentence or two each."""
    outcomes: tuple[str, ...] = ()
    """What diverged, collapsed, failed or was skipped, with the reason: beneath it as well."""
    details: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What would be a wall of a note, in lines, by what they are about."""
    entrants: tuple[Entrant, ...] = ()
    """The runs behind the rows of a comparison."""

    @property
    def remarks(self) -> list[str]:
        """The notes and the details, each in one line."""
        details = [f"{about}: {'; '.join(lines)}." for about, lines in self.details.items()]
        return [*self.notes, *details]


def comparison(records: Sequence[Record]) -> list[Table]:
    """One table for each scoring protocol, in the order of the records."""
    groups = by_protocol(records)
    tables = [_table(protocol, members) for protocol, members in groups]
    if len(tables) < 2:
        return tables
    first = groups[0][0]
    rankings = extractor_notes(
        [(protocol, table.entrants) for table, (protocol, _) in zip(tables, groups, strict=True)]
    )
    return [
        _set_apart(table, i + 1, protocol_differences(first, protocol), rankings.get(i, []))
        for i, (table, (protocol, _)) in enumerate(zip(tables, groups, strict=True))
    ]


def _set_apart(
    table: Table, number: int, differences: Sequence[str], rankings: Sequence[str]
) -> Table:
    apart = [f"Not comparable with protocol 1; there against here: {'; '.join(differences)}."]
    notes = (table.notes[0], *(apart if differences else []), *rankings, *table.notes[1:])
    return replace(table, title=f"{table.title}, protocol {number}", notes=notes)


def _table(protocol: Protocol, records: Sequence[Record]) -> Table:
    rows = entrants(records)
    columns = comparison_columns(records, protocol)
    by_column = [_column_cells(column, rows) for column in columns]
    suites = dict.fromkeys(record.suite for record in records)
    datasets = dict.fromkeys(record.dataset for record in records)
    return Table(
        title=f"{', '.join(suites)} on {', '.join(datasets)}",
        columns=tuple(columns),
        rows=tuple(
            Row(row.label, tuple(cells), row.real)
            for row, cells in zip(rows, zip(*by_column, strict=True), strict=True)
        ),
        notes=tuple(comparison_notes(protocol, rows)),
        outcomes=tuple(outcomes(rows)),
        details=comparison_details(rows),
        entrants=tuple(rows),
    )


def _column_cells(column: Column, rows: Sequence[Entrant]) -> list[Cell]:
    if column.key in (DIVERGED, COLLAPSED):
        return [_lost(column, row, real_baseline(rows)) for row in rows]
    summaries = [_summary(column, row) for row in rows]
    shown = [_shown(column, summary) for summary in summaries]
    decimals = column_decimals(column, [value for value in shown if value is not None])
    best = _best(column, rows, summaries, decimals)
    return [
        _cell(column, row, summary, decimals, best)
        for row, summary in zip(rows, summaries, strict=True)
    ]


def _summary(column: Column, row: Entrant) -> Summary:
    if column.unconditional:
        known = [column.read(record) for record in row.runs]
        return summarize([value for value in known if value is not None])
    values = [column.read(r) if r.status == "done" else None for r in row.runs]
    return summarize(values, higher_is_better=column.better is True)


def _shown(column: Column, summary: Summary) -> float | None:
    return {IQR: summary.iqr, CVAR: summary.cvar}.get(column.key, summary.median)


def _best(
    column: Column, rows: Sequence[Entrant], summaries: Sequence[Summary], decimals: int
) -> float | None:
    """The best mean, rounded as it is shown; ``None`` where nothing may be called best."""
    contest = [s for row, s in zip(rows, summaries, strict=True) if not row.real and s.k > 0]
    means = [s.mean for s in contest if s.mean is not None]
    if column.better is None or column.key in OVER_SEEDS or len(contest) < 2 or not means:
        return None
    if any(s.n < SEEDS_FOR_BOLD for s in contest):
        return None
    return round(max(means) if column.better else min(means), decimals)


def _cell(
    column: Column, row: Entrant, summary: Summary, decimals: int, best: float | None
) -> Cell:
    if row.real:
        return _floor(column, row, summary, decimals)
    if summary.k == 0:
        return _nothing(row)
    if column.key in OVER_SEEDS:
        return _over_seeds(column, summary, decimals)
    bold = summary.mean is not None and round(summary.mean, decimals) == best
    return replace(cell(column, summary, decimals), bold=bold)


def _floor(column: Column, row: Entrant, summary: Summary, decimals: int) -> Cell:
    if summary.k == 0 or column.key in OVER_SEEDS:
        return EMPTY
    score = row.records[0].scores.get(column.key)
    over_draws = None if score is None else score.get("deviation")
    return cell(column, replace(summary, deviation=over_draws), decimals)


def _over_seeds(column: Column, summary: Summary, decimals: int) -> Cell:
    shown = _shown(column, summary)
    if shown is not None:
        return Cell(quantity(column, shown, None, decimals), shown)
    return EMPTY if summary.n < 2 else Cell(f"{MISSING} ({summary.k} of {summary.n})")


def _nothing(row: Entrant) -> Cell:
    statuses = {record.status for record in row.runs}
    if not statuses:
        return Cell("skipped")
    if statuses == {"failed"}:
        return Cell("failed")
    return EMPTY if statuses == {"done"} else Cell(f"{MISSING} (0 of {len(row.runs)})")


def _lost(column: Column, row: Entrant, real: Record | None) -> Cell:
    if row.real:
        return EMPTY
    judged = [record for record in row.runs if record.status != "failed"]
    if not judged:
        return _nothing(row)
    if column.key == DIVERGED:
        lost = sum(record.status == "diverged" for record in judged)
    else:
        lost = sum(is_collapsed(record, real) for record in judged)
    return Cell(f"{lost} of {len(judged)}", lost / len(judged))
