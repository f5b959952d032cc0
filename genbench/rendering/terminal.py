"""Documents on a terminal."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from genbench.analysis.document import Cell, Document, Section
from genbench.rendering.layout import Block, blocks, fitted, heading, heading_lines, longest_name
from genbench.rendering.unseen import visible_section

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

WIDTH = 100
"""Of what is rendered to a string; a console has its own."""

STYLES = {
    "": "",
    "good": "green",
    "bad": "red",
    "open": "yellow",
    "faint": "dim",
    "strong": "bold",
}
"""By tone."""
MANY = 200
"""Rows, beyond which a table is plain text: its layout would take longer than all else."""
UNLIMITED = 100_000
"""Characters of a line that is never broken."""
PADDING = 2
"""Characters between two columns."""
WORDS = 12
"""Characters that a column of words keeps of a narrow terminal's line."""


def terminal(document: Document, width: int = WIDTH) -> str:
    """The document as plain text, ``width`` characters wide."""
    from rich.console import Console

    file = io.StringIO()
    show(document, Console(file=file, width=width, color_system=None))
    return file.getvalue()


def show(document: Document, console: Console | None = None, *, wide: bool = False) -> None:
    """Print the document, all but its long sections, to fit a console of 80 columns or more.

    ``console``: standard output by default, where a pipe or a file has lines of any length, as a
    terminal has with ``wide``.
    """
    from genbench.rendering.console import PipedConsole

    if console is None:
        console = PipedConsole()
        if wide or not (console.is_terminal or "COLUMNS" in os.environ):
            console.width = UNLIMITED
    for section in document.sections:
        if not section.long:
            _show(visible_section(section), console)


def _show(section: Section, console: Console) -> None:
    from rich.padding import Padding
    from rich.text import Text

    if section.title:
        console.print(Text(section.title, style="bold"))
    if section.lead:
        console.print(Text(section.lead))
    for table in section.tables:
        shown = fitted(table, console.width, padding=PADDING)
        for block in blocks(shown, console.width, padding=PADDING, words=WORDS):
            if len(block.rows) > MANY:
                _straight(_plain(block), console)
            else:
                console.print(_block(block, longest_name(console.width)))
            console.print()
        absent = [heading(c) or c.key for c in table.columns if c not in shown.columns]
        if absent:
            line = f" Left out of this narrow table: {', '.join(absent)}; --wide shows all."
            console.print(Text(f"{line}\n", style="dim"))
    for lines, style in ((section.outcomes, "yellow"), (section.notes, "dim")):
        for line in lines:
            console.print(Padding(Text(line, style=style), (0, 0, 0, 1), expand=False))
    for about, lines in section.details.items():
        # Lines may hold an address: the terminal breaks them.
        _straight("".join([f" {about}:\n", *(f"   {line}\n" for line in lines)]), console, "dim")
    if section.outcomes or section.notes or section.details:
        console.print()


def _block(block: Block, longest: int) -> RichTable:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for number, column in enumerate(block.columns):
        side = "right" if column.numeric else "left"
        lines = heading_lines(column) if column.numeric else [heading(column)]
        head = "\n".join(line for line in lines if line)
        first = number == 0 and block.title
        table.add_column(
            Text(block.title if first else head, justify=side),  # type: ignore[arg-type]
            style="bold" if first else "",
            justify=side,  # type: ignore[arg-type]
            no_wrap=column.numeric,
            max_width=longest if first else None,
            min_width=None if column.numeric else min(WORDS, _longest(block, number)),
            overflow="fold",
            vertical="top",
        )
    for row in block.rows:
        style = "dim" if row.real else STYLES[row.tone]
        table.add_row(*map(_cell, row.cells), style=style, end_section=row.real)
    return table


def _straight(text: str, console: Console, style: str = "") -> None:
    """Print lines as they are, without looking at each word of them."""
    from rich.segment import Segment, Segments

    whole = Segments([Segment(text, console.get_style(style) if style else None)])
    console.print(whole, soft_wrap=True, end="")


def _plain(block: Block) -> str:
    """The block in lines of one line each, in no colours."""
    columns = [
        [block.title if number == 0 and block.title else heading(column)]
        + [" ".join(row.cells[number].text.split()) for row in block.rows]
        for number, column in enumerate(block.columns)
    ]
    padded = []
    for column, texts in zip(block.columns, columns, strict=True):
        width = max(map(len, texts))
        padded.append([t.rjust(width) if column.numeric else t.ljust(width) for t in texts])
    return "\n".join("  ".join(line).rstrip() for line in zip(*padded, strict=True)) + "\n"


def _longest(block: Block, number: int) -> int:
    cells = (row.cells[number].text for row in block.rows)
    return max(map(len, [block.columns[number].heading, *cells]))


def _cell(cell: Cell) -> Text:
    from rich.text import Text

    return Text(cell.text, style="bold green" if cell.bold else STYLES[cell.tone])
