"""What a reader would not see is shown as an escape: at this one place, for every format.

A name comes from anybody. Its control characters would move a terminal's cursor, change colours or
titles; its marks of direction would reorder a line; its characters without width would make two
names look the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from json import dumps

from genbench.analysis.document import Cell, Column, Section, Table

_UNSEEN = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # control, but for tab and end of line
    "\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e"  # format
    "\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0001\U000e0020-\U000e007f"
    "\u2028\u2029"  # ends of lines and of paragraphs
    "\ud800-\udfff"  # halves of characters
    "]"
)


def visible(text: str) -> str:
    """The text with every control, format and half character as its escape in JSON, ``\\u202e``. In
    JSON, and in the strings of a script, that is the same text."""
    return text if text.isprintable() else _UNSEEN.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return dumps(found[0])[1:-1] if found[0] != "\x7f" else "\\u007f"


def visible_section(section: Section) -> Section:
    """The same of everything that a section says."""
    return replace(
        section,
        title=visible(section.title),
        tables=tuple(map(_table, section.tables)),
        outcomes=_lines(section.outcomes),
        notes=_lines(section.notes),
        details={visible(about): _lines(lines) for about, lines in section.details.items()},
        lead=visible(section.lead),
    )


def _table(table: Table) -> Table:
    columns = tuple(map(_column, table.columns))
    rows = tuple(replace(row, cells=tuple(map(_cell, row.cells))) for row in table.rows)
    return replace(table, columns=columns, rows=rows)


def _column(column: Column) -> Column:
    return replace(column, heading=visible(column.heading), group=visible(column.group))


def _cell(cell: Cell) -> Cell:
    return cell if cell.text.isprintable() else replace(cell, text=visible(cell.text))


def _lines(lines: Sequence[str]) -> tuple[str, ...]:
    return tuple(map(visible, lines))
