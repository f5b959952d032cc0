"""Tables as text: Markdown and LaTeX to read, CSV and JSON to compute with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from genbench.analysis.cells import Cell
from genbench.analysis.columns import Column
from genbench.analysis.comparison import Table, comparison
from genbench.analysis.diagnostics import diagnostics
from genbench.rendering import markup
from genbench.rendering.layout import Block, blocks
from genbench.store.records import Record, to_frame

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
    parts = [f"## {markup.markdown(table.title)}\n"]
    for block in blocks(table, WIDTH, padding=3):
        parts.append(f"### {block.title.capitalize()}\n")
        parts.append(_markdown_block(block))
    parts.append("".join(f"- {markup.markdown(note)}\n" for note in table.outcomes + table.notes))
    for about, lines in table.details.items():
        listed = "".join(f"  - {markup.markdown(line)}\n" for line in lines)
        parts[-1] += f"- {markup.markdown(about)}:\n{listed}"
    return "\n".join(parts)


def _markdown_block(block: Block) -> str:
    headings = ["", *(markup.markdown(_heading(column)) for column in block.columns)]
    rows = [[markup.markdown(row.label), *map(_markdown_cell, row.cells)] for row in block.rows]
    return markup.markdown_table("l" + "r" * len(block.columns), headings, rows)


def _markdown_cell(cell: Cell) -> str:
    return f"**{cell.text}**" if cell.bold else cell.text


def _heading(column: Column) -> str:
    return f"{column.heading} {column.arrow}".strip()


def _latex_table(table: Table) -> str:
    parts = [f"% {' '.join(table.title.split())}\n"]
    for block in blocks(table, WIDTH, padding=3):
        parts.append(_latex_block(block))
    notes = " ".join(markup.latex(note) for note in [*table.outcomes, *table.remarks])
    parts.append(f"\\par\\smallskip{{\\footnotesize\\raggedright {notes}\\par}}\n")
    return "\n".join(parts)


def _latex_block(block: Block) -> str:
    headings = [block.title, *(_heading(column) for column in block.columns)]
    lines = [
        "\\begin{tabular}{l" + "r" * len(block.columns) + "}",
        "\\toprule",
        " & ".join(map(markup.latex, headings)) + r" \\",
        "\\midrule",
    ]
    for row in block.rows:
        lines.append(" & ".join([markup.latex(row.label), *map(_latex_cell, row.cells)]) + r" \\")
        if row.real:
            lines.append("\\midrule")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def _latex_cell(cell: Cell) -> str:
    text = markup.latex(cell.text)
    return f"\\textbf{{{text}}}" if cell.bold else text
