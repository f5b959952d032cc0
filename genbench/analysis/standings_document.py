"""The rankings of a leaderboard as a document: a table for each protocol, with the sources of its
rows and the notes on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from genbench.analysis.document import Cell, Column, Document, Row, Section, Table
from genbench.analysis.published import Leaderboard
from genbench.analysis.standings import LeftOut, Standing, Standings
from genbench.analysis.statistics import LEAST_FOR_INTERVAL, LEVEL

MEASURED = (
    f"Measured rows: the mean over seeds, in brackets its {LEVEL:.0%} interval by Student's t (of "
    "logarithms for a distance, and then about the geometric mean), for which fewer than "
    f"{LEAST_FOR_INTERVAL} seeds are too few; where a run diverged, the median with it ranked "
    "last, and how many came to an end."
)


def document(
    board: Leaderboard, groups: Sequence[Standings], others: Sequence[LeftOut] = ()
) -> Document:
    """The rankings of a board, the documents behind its rows, the notes on them, both by their key,
    and what is left out."""
    rows = [row for group in groups for row in group.rows]
    keys = dict.fromkeys(row.published.source for row in rows if row.published)
    sources = {key: number for number, key in enumerate(keys, start=1)}
    said = dict.fromkeys(row.note for row in rows)
    notes = {note: _letters(number) for number, note in enumerate(filter(None, said))}
    listed = {
        "Sources": tuple(
            f"{number}: {board.sources[key].title}, {board.sources[key].address}"
            for key, number in sources.items()
        ),
        "Notes": tuple(f"{letters}: {note}" for note, letters in notes.items()),
        "Measured, but not on this board": tuple(map(str, others)),
    }
    measured = any(row.published is None and not row.imported for row in rows)
    return Document(
        (
            Section(board.title),
            *(
                Section(
                    "",
                    (_table(board, group, sources, notes),),
                    lead=f"{group.heading.rstrip('.')}:",
                )
                for group in groups
            ),
            Section(
                "",
                notes=(MEASURED,) if measured else (),
                details={about: lines for about, lines in listed.items() if lines},
            ),
        ),
        data=_data(board, groups) | {"left_out": [asdict(each) for each in others]},
    )


def _table(
    board: Leaderboard, group: Standings, sources: Mapping[str, int], notes: Mapping[str, str]
) -> Table:
    first = next(iter(group.columns))
    stating = any(row.protocol for row in group.rows)
    columns = (
        Column("rank", ""),
        Column("model", "model", numeric=False),
        Column("settings", "settings", numeric=False, narrow="cut"),
        *(
            Column(
                name,
                heading,
                better=group.higher_is_better[name],
                narrow="" if name == first else "hidden",
            )
            for name, heading in group.columns.items()
        ),
        Column("nfe", "NFE"),
        *([Column("protocol", "protocol", numeric=False, narrow="hidden")] * stating),
        Column("key", "key", numeric=False),
        Column("selected", "selected", numeric=False, narrow="hidden"),
        Column("where", "where", numeric=False, narrow="hidden"),
    )
    rows = [
        Row(
            (
                Cell("" if row.rank is None else str(row.rank), row.rank),
                Cell(row.label),
                Cell(row.settings),
                *(_score_cell(name, row, group) for name in group.columns),
                Cell("" if row.nfe is None else f"{row.nfe:,.4g}", row.nfe),
                *([Cell(row.protocol)] * stating),
                Cell(_key(row, sources, notes)),
                Cell(row.published.selected if row.published else ""),
                _where(row, board),
            ),
            tone="" if row.published else "faint" if row.rank is None else "strong",
        )
        for row in group.rows
    ]
    return Table(columns, tuple(rows), names=2)


def _score_cell(name: str, row: Standing, group: Standings) -> Cell:
    """The score, with its interval where it ranks the rows or was imported; a published one as it
    was published."""
    number = row.scores.get(name)
    if number is None:
        return Cell("")
    if row.published:
        beside = "" if number.deviation is None else f" ± {number.deviation:g}"
        return Cell(f"{number.value:g}{beside}", number.value)
    text = f"{number.value:.3g}"
    if number.ended:
        text = f"median {text} ({number.ended})"
    elif row.imported or name == next(iter(group.columns)):
        if number.low is not None and number.high is not None:
            text += f" [{number.low:.3g}, {number.high:.3g}]"
        elif row.origin and number.seeds is not None:
            text += " (too few seeds)"
    return Cell(text, number.value)


def _key(row: Standing, sources: Mapping[str, int], notes: Mapping[str, str]) -> str:
    """The number of its source and the letter of its note, as both are listed below."""
    source = sources[row.published.source] if row.published else ""
    return f"{source}{notes.get(row.note, '')}"


def _where(row: Standing, board: Leaderboard) -> Cell:
    """The place of a published row in its document, and the document that it quotes; the command
    that repeats a measured row; or the file of an imported one."""
    published = row.published
    if published is None:
        return Cell(row.origin, code=bool(row.origin))
    quoting = f", quoting {published.quoted_from}" if published.quoted_from else ""
    return Cell(f"{published.table}{quoting}", link=board.sources[published.source].address)


def _letters(number: int) -> str:
    """a … z, aa, ab, …"""
    before, last = divmod(number, 26)
    return (_letters(before - 1) if before else "") + chr(ord("a") + last)


def _data(board: Leaderboard, groups: Sequence[Standings]) -> dict[str, object]:
    return {
        "title": board.title,
        "score": board.score,
        "sources": {key: source.model_dump() for key, source in board.sources.items()},
        "standings": [
            {
                "protocol": group.heading,
                "rows": [
                    asdict(row)
                    | {"published": row.published.model_dump() if row.published else None}
                    for row in group.rows
                ],
            }
            for group in groups
        ],
    }
