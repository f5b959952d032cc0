"""Documents: tables with typed columns, and notes, without any formatting.

``genbench.rendering`` shows a document in any format.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from genbench.api.errors import UnknownName, UsageError

Tone = Literal["", "good", "bad", "open", "faint", "strong"]
"""What a reader should make of it, which a terminal shows in colour."""


@dataclass(frozen=True)
class Cell:
    """One cell, ready to be shown."""

    text: str
    """A line break may be shown as a space."""
    value: float | None = None
    """What the column sorts by."""
    bold: bool = False
    tone: Tone = ""
    link: str = ""
    """The address behind the text."""
    code: bool = False
    """Whether it is to be typed."""


EMPTY = Cell("")


@dataclass(frozen=True)
class Column:
    """The head of a column."""

    key: str
    heading: str
    group: str = ""
    """Columns of one group stand together, where a table is too wide; without groups it is never
    cut."""
    better: bool | None = None
    """Whether higher is better; ``None`` if the column has no better direction."""
    numeric: bool = True
    """Whether it holds numbers, which are aligned to the right and never broken."""
    narrow: Literal["", "cut", "hidden"] = ""
    """What a terminal does to it that is too narrow for the table: nothing; cut its words to one
    line; leave it out."""

    @property
    def arrow(self) -> str:
        """``↑`` where higher is better, ``↓`` where lower is."""
        return {True: "↑", False: "↓", None: ""}[self.better]


@dataclass(frozen=True)
class Row:
    """A cell for each column; the first one names the row."""

    cells: tuple[Cell, ...]
    real: bool = False
    """Whether it is the real row or a codec's, which are not ranked."""
    tone: Tone = ""

    @property
    def label(self) -> str:
        """The text of the first cell."""
        return self.cells[0].text


@dataclass(frozen=True)
class Table:
    """Rows under columns."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    names: int = 1
    """How many columns, from the first, it takes to tell the rows apart."""

    def with_columns(self, names: Sequence[str]) -> Table | None:
        """See ``Document.with_columns``; ``None`` if it has none of them."""
        heads = [{column.key.lower(), column.heading.lower()} for column in self.columns]
        chosen = [i for name in names for i, head in enumerate(heads) if name.lower() in head]
        if not chosen:
            return None
        indices = [*range(self.names), *(i for i in chosen if i >= self.names)]
        rows = (replace(row, cells=tuple(row.cells[i] for i in indices)) for row in self.rows)
        return replace(self, columns=tuple(self.columns[i] for i in indices), rows=tuple(rows))

    def transposed(self) -> Table:
        """Its columns as rows: what was in one row is in one column."""
        columns = tuple(
            Column(f"row {number}", row.label, numeric=True)
            for number, row in enumerate(self.rows, start=1)
        )
        rows = tuple(
            Row(
                (Cell(f"{column.heading} {column.arrow}".strip()), *(r.cells[i] for r in self.rows))
            )
            for i, column in enumerate(self.columns)
            if i > 0
        )
        return Table((Column("score", "score", numeric=False), *columns), rows)


@dataclass(frozen=True)
class Section:
    """Tables under a title, and what stands beneath them."""

    title: str
    tables: tuple[Table, ...] = ()
    outcomes: tuple[str, ...] = ()
    """What came to grief, with the reason."""
    notes: tuple[str, ...] = ()
    """A sentence or two each."""
    details: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What would be a wall of a note, in lines, by what they are about."""
    level: Literal[1, 2, 3] = 2
    """Of the title: 1 is the highest."""
    lead: str = ""
    """A sentence above the tables."""
    long: bool = False
    """Whether a terminal leaves it out, and a page folds it."""
    label: str = ""
    """By which a LaTeX document refers to it; with one it is a float, its title the caption."""

    @property
    def remarks(self) -> list[str]:
        """The notes and the details, each in one line."""
        details = [f"{about}: {'; '.join(lines)}." for about, lines in self.details.items()]
        return [*self.notes, *details]


@dataclass(frozen=True)
class Document:
    """What there is to say."""

    sections: tuple[Section, ...]
    data: Any
    """All of it, JSON-like, to compute with."""
    rows: Callable[[], Sequence[Mapping[str, Any]]] | None = None
    """Makes tidy rows of the same; ``None``: the cells of its tables."""

    def with_columns(self, names: Sequence[str]) -> Document:
        """Its tables with the columns that name their rows, and ``names`` in this order: keys or
        headings, whichever case. A table that has none of them is left out, and so is a section
        that had only such tables.

        Raises ``UnknownName`` for a column that no table has.
        """
        tables = [table for section in self.sections for table in section.tables]
        known = {head for table in tables for c in table.columns for head in (c.key, c.heading)}
        lower = {head.lower() for head in known}
        for name in names:
            if name.lower() not in lower:
                raise UnknownName("column", name, known - {""})
        sections = []
        for section in self.sections:
            kept = tuple(filter(None, (table.with_columns(names) for table in section.tables)))
            if kept or not section.tables:
                sections.append(replace(section, tables=kept))
        return replace(self, sections=tuple(sections))

    def transposed(self) -> Document:
        """Every table with its columns as rows."""
        return replace(
            self,
            sections=tuple(
                replace(section, tables=tuple(table.transposed() for table in section.tables))
                for section in self.sections
            ),
        )

    def captioned(self, caption: str | None, label: str | None) -> Document:
        """Its first section as a float, with ``caption`` for its title and ``label``, by default
        ``tab:results``. Raises ``UsageError`` for a label that LaTeX would not take."""
        if label and not re.fullmatch(r"[\w:./+-]+", label, re.ASCII):
            raise UsageError(f"--label {label}: write letters, digits and : . / + - _")
        first, *others = self.sections
        first = replace(first, title=caption or first.title, label=label or "tab:results")
        return replace(self, sections=(first, *others))


def text_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str | Cell]],
    align: str,
    names: int = 1,
    hidden: Collection[str] = (),
) -> Table:
    """A table of what is text already. ``align``: a letter a column, ``l`` or ``r``. ``hidden``:
    the headings that a narrow terminal leaves out."""
    return Table(
        tuple(
            Column(
                heading or f"column {number}",
                heading,
                numeric=side == "r",
                narrow="hidden" if heading in hidden else "",
            )
            for number, (heading, side) in enumerate(zip(headings, align, strict=True))
        ),
        tuple(Row(tuple(Cell(c) if isinstance(c, str) else c for c in row)) for row in rows),
        names,
    )
