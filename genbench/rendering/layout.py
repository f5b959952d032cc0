"""A wide table → blocks that fit a page: the same rows, some of the columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genbench.analysis.columns import (
    COST,
    DIAGNOSTICS,
    DIVERSITY,
    FIDELITY,
    MEMORIZATION,
    OTHER,
    STABILITY,
    Column,
)
from genbench.analysis.comparison import Row, Table

# Groups that may stand side by side.
BANDS = ((FIDELITY,), (DIVERSITY, MEMORIZATION), (OTHER,), (STABILITY,), (COST,), (DIAGNOSTICS,))

_CONTINUED = " (continued)"


@dataclass(frozen=True)
class Block:
    """Some columns of a table, with the rows that say anything in them."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


def blocks(table: Table, width: int, padding: int) -> list[Block]:
    """Blocks of whole bands, cut where they would be wider than ``width`` characters.

    ``padding`` is what a renderer puts between two columns.
    """
    label = max((len(row.label) for row in table.rows), default=0) + padding
    made = []
    for band in BANDS:
        indices = [i for i, column in enumerate(table.columns) if column.group in band]
        title = ", ".join(dict.fromkeys(table.columns[i].group for i in indices))
        part: list[int] = []
        for i in indices:
            if part and label + sum(_width(table, j) + padding for j in [*part, i]) > width:
                made.append(_block(table, title, part))
                title, part = title.removesuffix(_CONTINUED) + _CONTINUED, []
            part.append(i)
        if part:
            made.append(_block(table, title, part))
    return made


def heading_lines(column: Column) -> list[str]:
    """The heading with its arrow, in two lines where it has several words."""
    words = column.heading.split()
    words[-1:] = [f"{words[-1]} {column.arrow}".rstrip()] if words else []
    cuts = range(1, len(words) + 1)
    pairs = ([" ".join(words[:cut]), " ".join(words[cut:])] for cut in cuts)
    return min(pairs, key=lambda pair: max(len(line) for line in pair))


def _width(table: Table, index: int) -> int:
    heading = max(len(line) for line in heading_lines(table.columns[index]))
    return max([heading, *(len(row.cells[index].text) for row in table.rows)])


def _block(table: Table, title: str, indices: Sequence[int]) -> Block:
    rows = [Row(row.label, tuple(row.cells[i] for i in indices), row.real) for row in table.rows]
    return Block(
        title,
        tuple(table.columns[i] for i in indices),
        tuple(row for row in rows if any(cell.text for cell in row.cells)),
    )
