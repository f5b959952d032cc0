"""A wide table → blocks that fit a page: the same rows, some of the columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genbench.analysis.document import Column, Row, Table

BAND = ("diversity", "memorization")
"""Groups that may stand side by side."""

_CONTINUED = " (continued)"


@dataclass(frozen=True)
class Block:
    """Some columns of a table, with the rows that say anything in them."""

    title: str
    """The groups of its columns; empty for a table without groups."""
    columns: tuple[Column, ...]
    """The first one names the rows."""
    rows: tuple[Row, ...]


def blocks(table: Table, width: int, padding: int) -> list[Block]:
    """Blocks of whole groups, cut where they would be wider than ``width`` characters; a table
    without groups whole. ``padding`` is what a renderer puts between two columns."""
    if not any(column.group for column in table.columns):
        return [Block("", table.columns, table.rows)]
    label = max((len(row.label) for row in table.rows), default=0) + padding
    bands: dict[str, list[int]] = {}
    for i, column in enumerate(table.columns[1:], start=1):
        bands.setdefault(BAND[0] if column.group in BAND else column.group, []).append(i)
    made = []
    for indices in bands.values():
        title = ", ".join(dict.fromkeys(table.columns[i].group for i in indices))
        part: list[int] = []
        for i in indices:
            if part and label + sum(_width(table, j) + padding for j in [*part, i]) > width:
                made.append(_block(table, title, part))
                title, part = title.removesuffix(_CONTINUED) + _CONTINUED, []
            part.append(i)
        made.append(_block(table, title, part))
    return made


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


def _width(table: Table, index: int) -> int:
    head = max(len(line) for line in heading_lines(table.columns[index]))
    return max([head, *(len(row.cells[index].text) for row in table.rows)])


def _block(table: Table, title: str, indices: Sequence[int]) -> Block:
    rows = [
        Row((row.cells[0], *(row.cells[i] for i in indices)), row.real, row.tone)
        for row in table.rows
    ]
    return Block(
        title,
        (table.columns[0], *(table.columns[i] for i in indices)),
        tuple(row for row in rows if any(cell.text for cell in row.cells[1:])),
    )
