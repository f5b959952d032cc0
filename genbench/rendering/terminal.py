"""Tables on a terminal."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from genbench.analysis.cells import Cell
from genbench.analysis.comparison import comparison
from genbench.rendering.layout import Block, blocks, heading_lines
from genbench.store.records import Record

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

WIDTH = 100
"""Of what is rendered to a string; a console has its own."""


def terminal(records: Sequence[Record]) -> str:
    """The comparisons as plain text, ``WIDTH`` characters wide."""
    from rich.console import Console

    file = io.StringIO()
    show(records, Console(file=file, width=WIDTH, color_system=None))
    return file.getvalue()


def show(records: Sequence[Record], console: Console | None = None) -> None:
    """Print the comparisons, split by groups of columns to fit a console of 80 columns or more.

    ``console``: standard output by default.
    """
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = console or Console()
    for table in comparison(records):
        console.print(Text(table.title, style="bold"))
        for block in blocks(table, console.width, padding=2):
            console.print(_block(block))
            console.print()
        for outcome in table.outcomes:
            console.print(Padding(Text(outcome, style="yellow"), (0, 0, 0, 1)))
        for note in table.remarks:
            console.print(Padding(Text(note, style="dim"), (0, 0, 0, 1)))
        console.print()


def _block(block: Block) -> RichTable:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column(Text(block.title), style="bold", no_wrap=True, vertical="bottom")
    for column in block.columns:
        heading = "\n".join(line for line in heading_lines(column) if line)
        table.add_column(Text(heading, justify="right"), justify="right", vertical="top")
    for row in block.rows:
        style = "dim" if row.real else ""
        table.add_row(Text(row.label), *map(_cell, row.cells), style=style, end_section=row.real)
    return table


def _cell(cell: Cell) -> Text:
    from rich.text import Text

    return Text(cell.text, style="bold green" if cell.bold else "")
