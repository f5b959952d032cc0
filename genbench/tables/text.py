"""Tables as text: Markdown and LaTeX to read, CSV and JSON to compute with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict

from genbench.results import Record, to_frame
from genbench.tables.cells import Cell
from genbench.tables.columns import Column
from genbench.tables.compare import Table, comparison
from genbench.tables.diagnostics import diagnostics
from genbench.tables.layout import Block, blocks

WIDTH = 110
"""Characters of a line of a Markdown table, so that it reads as plain text too."""


def markdown(records: Sequence[Record]) -> str:
    """The comparisons and the diagnostics, one table a group of columns, notes beneath."""
    return "\n".join(_markdown_table(table) for table in all_tables(records))


def all_tables(records: Sequence[Record]) -> list[Table]:
    """The comparisons, then the diagnostics where there are any."""
    extra = diagnostics(records)
    return [*comparison(records), *([extra] if extra else [])]


def csv(records: Sequence[Record]) -> str:
    """One row a score: the tidy form."""
    return to_frame(records).to_csv(index=False)


def json(records: Sequence[Record]) -> str:
    """The records whole, as an array."""
    from json import dumps

    rows = [asdict(record) for record in records]
    return dumps(rows, ensure_ascii=False, indent=2) + "\n"


def latex(records: Sequence[Record]) -> str:
    """``tabular`` environments for the booktabs package, one a group of columns."""
    head = "% \\usepackage{booktabs}\n"
    return head + "\n".join(_latex_table(table) for table in all_tables(records))


def _markdown_table(table: Table) -> str:
    parts = [f"## {_markdown(table.title)}\n"]
    for block in blocks(table, WIDTH, padding=3):
        parts.append(f"### {block.title.capitalize()}\n")
        parts.append(_markdown_block(block))
    parts.append("".join(f"- {_markdown(note)}\n" for note in table.outcomes + table.notes))
    for about, lines in table.details.items():
        listed = "".join(f"  - {_markdown(line)}\n" for line in lines)
        parts[-1] += f"- {_markdown(about)}:\n{listed}"
    return "\n".join(parts)


def _markdown_block(block: Block) -> str:
    headings = ["", *(_markdown(_heading(column)) for column in block.columns)]
    lines = [[_markdown(row.label), *map(_markdown_cell, row.cells)] for row in block.rows]
    widths = [max(3, *map(len, column)) for column in zip(headings, *lines, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "".join(_markdown_line(line, widths) for line in [headings, rule, *lines])


def _markdown_line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cells[0].ljust(widths[0])]
    padded += [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return f"| {' | '.join(padded)} |\n"


def _markdown_cell(cell: Cell) -> str:
    return f"**{cell.text}**" if cell.bold else cell.text


def _markdown(text: str) -> str:
    """Text that stays text: no markup, no HTML, no cell or line break."""
    return re.sub(r"([\\|*`<>\[\]]|(?<!\w)_|_(?!\w))", r"\\\1", " ".join(text.split()))


def _heading(column: Column) -> str:
    return f"{column.heading} {column.arrow}".strip()


def _latex_table(table: Table) -> str:
    parts = [f"% {' '.join(table.title.split())}\n"]
    for block in blocks(table, WIDTH, padding=3):
        parts.append(_latex_block(block))
    notes = " ".join(_latex(note) for note in [*table.outcomes, *table.remarks])
    parts.append(f"\\par\\smallskip{{\\footnotesize\\raggedright {notes}\\par}}\n")
    return "\n".join(parts)


def _latex_block(block: Block) -> str:
    headings = [block.title, *(_heading(column) for column in block.columns)]
    lines = [
        "\\begin{tabular}{l" + "r" * len(block.columns) + "}",
        "\\toprule",
        " & ".join(map(_latex, headings)) + r" \\",
        "\\midrule",
    ]
    for row in block.rows:
        lines.append(" & ".join([_latex(row.label), *map(_latex_cell, row.cells)]) + r" \\")
        if row.real:
            lines.append("\\midrule")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def _latex_cell(cell: Cell) -> str:
    text = _latex(cell.text)
    return f"\\textbf{{{text}}}" if cell.bold else text


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "µ": r"\textmu{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "—": "---",
} | {character: f"\\{character}" for character in "&%$#_{}"}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))
