"""Standings to read, on a terminal or as Markdown, and to compute with, as JSON."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from json import dumps
from typing import TYPE_CHECKING

from genbench.analysis.published import Board
from genbench.analysis.standings import Standing, Standings
from genbench.analysis.statistics import LEVEL
from genbench.api.errors import UnknownName
from genbench.rendering import markup

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 120
"""Of what is rendered for a terminal to a string; a console has its own."""

MEASURED = (
    f"Measured rows: the mean over seeds, in brackets its {LEVEL:.0%} interval by Student's t, "
    "which is wide for two; where a run diverged, the median with it ranked last, and how many "
    "came to an end."
)


def render(board: Board, groups: Sequence[Standings], format: str) -> str:
    """In one of ``FORMATS``, ending in a newline. Raises ``UnknownName``."""
    if format not in FORMATS:
        raise UnknownName("format", format, FORMATS)
    return FORMATS[format](board, groups)


def show(board: Board, groups: Sequence[Standings], console: Console | None = None) -> None:
    """Print the rankings. ``console``: standard output by default."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = console or Console()
    sources, notes = _sources(groups), _notes(groups)
    console.print(Text(board.title, style="bold"))
    for group in groups:
        console.print(Text(f"\n{group.heading}"))
        table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for side, heading in zip(_align(group), _headings(group), strict=True):
            cell = Text(heading, justify="right" if side == "r" else "left")
            table.add_column(cell, justify=cell.justify or "left", overflow="fold", vertical="top")
        for row in group.rows:
            where = (
                f"[{sources[row.published.source]}] {_place(row)}" if row.published else row.origin
            )
            style = "" if row.published else "dim" if row.rank is None else "bold"
            table.add_row(*map(Text, [*_cells(row, group, notes), where]), style=style)
        console.print(table)
    console.print()
    if _any_measured(groups):
        console.print(Text(MEASURED, style="dim"))
    for key, number in sources.items():
        source = board.sources[key]
        line = f"[{number}] {source.title}, {source.address}"
        console.print(Text(line, style="dim"), soft_wrap=True)
    for note, letters in notes.items():
        console.print(Text(f"{letters}: {note}", style="dim"))


def _terminal(board: Board, groups: Sequence[Standings]) -> str:
    from rich.console import Console

    file = io.StringIO()
    show(board, groups, Console(file=file, width=WIDTH, color_system=None))
    return file.getvalue()


def _markdown(board: Board, groups: Sequence[Standings]) -> str:
    sources, notes = _sources(groups), _notes(groups)
    parts = [f"## {markup.markdown(board.title)}\n"]
    for group in groups:
        rows = [
            [
                *map(markup.markdown, _cells(row, group, notes)),
                _markdown_origin(row, board, sources),
            ]
            for row in group.rows
        ]
        headings = list(map(markup.markdown, _headings(group)))
        parts.append(f"{markup.markdown(group.heading)}:\n")
        parts.append(markup.markdown_table(_align(group), headings, rows))
    if _any_measured(groups):
        parts.append(f"{MEASURED}\n")
    parts += [
        f"{number}. {markup.markdown(board.sources[key].title)}, <{board.sources[key].address}>\n"
        for key, number in sources.items()
    ]
    if notes:
        listed = [f"- {letters}: {markup.markdown(note)}\n" for note, letters in notes.items()]
        parts.append("".join(listed))
    return "\n".join(parts)


def _markdown_origin(row: Standing, board: Board, sources: Mapping[str, int]) -> str:
    if row.published is None:
        return f"`{row.origin}`" if row.origin else ""
    key = row.published.source
    return f"[{sources[key]}]({board.sources[key].address}) {markup.markdown(_place(row))}"


def _json(board: Board, groups: Sequence[Standings]) -> str:
    told = {
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
    return dumps(told, ensure_ascii=False, indent=1) + "\n"


def _headings(group: Standings) -> list[str]:
    arrows = {name: "↑" if up else "↓" for name, up in group.higher_is_better.items()}
    scores = [f"{heading} {arrows[name]}" for name, heading in group.columns.items()]
    return ["", "model", "settings", *scores, "NFE", "selected", "note", "where"]


def _align(group: Standings) -> str:
    return "rll" + "r" * len(group.columns) + "rlll"


def _cells(row: Standing, group: Standings, notes: Mapping[str, str]) -> list[str]:
    """All but the last."""
    published = row.published
    return [
        "" if row.rank is None else str(row.rank),
        row.label,
        row.settings,
        *(_number(name, row, group) for name in group.columns),
        "" if row.nfe is None else f"{row.nfe:,.4g}",
        published.selected if published else "",
        notes[published.note] if published and published.note else "",
    ]


def _number(name: str, row: Standing, group: Standings) -> str:
    """The score, with its interval where it ranks the rows."""
    number = row.scores.get(name)
    if number is None:
        return ""
    if row.published:
        # As it was published.
        beside = "" if number.deviation is None else f" ± {number.deviation:g}"
        return f"{number.value:g}{beside}"
    if number.ended:
        return f"median {number.value:.3g} ({number.ended})"
    ranks = name == next(iter(group.columns))
    if not ranks or number.low is None or number.high is None:
        return f"{number.value:.3g}"
    return f"{number.value:.3g} [{number.low:.3g}, {number.high:.3g}]"


def _place(row: Standing) -> str:
    """Where in its document a published row stands, and whom it quotes."""
    assert row.published is not None
    quoted = row.published.quoted_from
    return f"{row.published.table}, quoting {quoted}" if quoted else row.published.table


def _sources(groups: Sequence[Standings]) -> dict[str, int]:
    """The documents behind the rows, numbered as they come."""
    keys = [row.published.source for group in groups for row in group.rows if row.published]
    return {key: number for number, key in enumerate(dict.fromkeys(keys), start=1)}


def _notes(groups: Sequence[Standings]) -> dict[str, str]:
    """Each note of the rows and the letters that stand for it, as they come: a … z, aa, ab, …"""
    said = [row.published.note for group in groups for row in group.rows if row.published]
    unique = [note for note in dict.fromkeys(said) if note]
    return {note: _letters(number) for number, note in enumerate(unique)}


def _letters(number: int) -> str:
    before, last = divmod(number, 26)
    return (_letters(before - 1) if before else "") + chr(ord("a") + last)


def _any_measured(groups: Sequence[Standings]) -> bool:
    return any(row.published is None for group in groups for row in group.rows)


FORMATS: dict[str, Callable[[Board, Sequence[Standings]], str]] = {
    "terminal": _terminal,
    "markdown": _markdown,
    "json": _json,
}
