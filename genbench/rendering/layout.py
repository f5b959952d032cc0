"""A wide table → blocks that fit a page: the same rows, some of the columns."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from genbench.analysis.document import Cell, Column, Row, Table

BAND = ("diversity", "memorization")
"""Groups that may stand side by side."""

SHORTEST = 12
"""Characters that a cell that is cut keeps at least."""

_CONTINUED = " (continued)"


@dataclass(frozen=True)
class Block:
    """Some columns of a table, with the rows that say anything in them."""

    title: str
    """The groups of its columns; empty for a table without groups."""
    columns: tuple[Column, ...]
    """The first one names the rows."""
    rows: tuple[Row, ...]


def blocks(table: Table, width: int, padding: int, words: int | None = None) -> list[Block]:
    """Blocks of whole groups, cut where they would be wider than ``width`` characters. ``padding``
    is what a renderer puts between two columns.

    A table without groups is whole, unless ``words`` says to how many characters a column of words
    can be broken, that of its rows' names included: then it is cut too, where numbers would not
    fit.
    """
    grouped = any(column.group for column in table.columns)
    if not grouped and words is None:
        return [Block("", table.columns, table.rows)]
    named = range(table.names)
    longest = sys.maxsize if words is None else longest_name(width) if grouped else words
    label = sum(min(_cells_width(table, i), longest) + padding for i in named)
    bands: dict[str, list[int]] = {}
    for i, column in enumerate(table.columns[table.names :], start=table.names):
        bands.setdefault(BAND[0] if column.group in BAND else column.group, []).append(i)
    made = []
    for indices in bands.values():
        title = ", ".join(dict.fromkeys(table.columns[i].group for i in indices))
        part: list[int] = []
        for i in indices:
            taken = sum(_width(table, j, words) + padding for j in [*part, i])
            if part and label + taken > width:
                made.append(_block(table, title, [*named, *part]))
                continued = title.removesuffix(_CONTINUED) + _CONTINUED
                title, part = continued if grouped else "", []
            part.append(i)
        made.append(_block(table, title, [*named, *part]))
    return made


def longest_name(width: int) -> int:
    """Characters of a row's name that stand in one line of a terminal."""
    return max(SHORTEST, width // 3)


def fitted(table: Table, width: int, padding: int) -> Table:
    """The table as it is where it fits into ``width`` characters; else without the columns that a
    narrow terminal hides, and with those cut to one line that it cuts."""
    widths = [_width(table, i, None) + padding for i in range(len(table.columns))]
    if sum(widths) - padding <= width:
        return table
    kept = [i for i, column in enumerate(table.columns) if column.narrow != "hidden"]
    cut = [i for i in kept if table.columns[i].narrow == "cut"]
    room = width - sum(widths[i] for i in kept if i not in cut) + padding
    rows = []
    for row in table.rows:
        cells = [row.cells[i] for i in kept]
        for i in cut:
            place = kept.index(i)
            cells[place] = _cut(row.cells[i], max(SHORTEST, room // len(cut) - padding))
        rows.append(replace(row, cells=tuple(cells)))
    return replace(table, columns=tuple(table.columns[i] for i in kept), rows=tuple(rows))


def _cut(cell: Cell, length: int) -> Cell:
    text = " ".join(cell.text.split())
    return replace(cell, text=text if len(text) <= length else f"{text[: length - 1].rstrip()}…")


def heading(column: Column) -> str:
    """The heading with its arrow."""
    return f"{column.heading} {column.arrow}".strip()


def heading_lines(column: Column) -> list[str]:
    """The same in two lines where it has several words."""
    words = column.heading.split()
    words[-1:] = [f"{words[-1]} {column.arrow}".rstrip()] if words else []
    cuts = range(1, len(words) + 1)
    pairs = ([" ".join(words[:cut]), " ".join(words[cut:])] for cut in cuts)
    return min(pairs, key=lambda pair: max(len(line) for line in pair), default=["", ""])


def _width(table: Table, index: int, words: int | None) -> int:
    column = table.columns[index]
    head = max(len(line) for line in heading_lines(column))
    whole = max(head, _cells_width(table, index))
    return whole if words is None or column.numeric else min(whole, words)


def _cells_width(table: Table, index: int) -> int:
    lines = (line for row in table.rows for line in row.cells[index].text.splitlines())
    return max(map(len, lines), default=0)


def _block(table: Table, title: str, indices: Sequence[int]) -> Block:
    rows = [
        Row(tuple(row.cells[i] for i in indices), row.real, row.tone)
        for row in table.rows
        if any(row.cells[i].text for i in indices[table.names :])
    ]
    return Block(title, tuple(table.columns[i] for i in indices), tuple(rows))
