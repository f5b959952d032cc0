"""Documents as text: Markdown, LaTeX and HTML to read, CSV and JSON to compute with."""

from __future__ import annotations

import csv as csv_format
import io
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from genbench.analysis.document import Cell, Document, Section
from genbench.rendering import markup
from genbench.rendering.layout import Block, blocks, heading
from genbench.rendering.unseen import visible, visible_section

if TYPE_CHECKING:
    from markupsafe import Markup

WIDTH = 110
"""Characters of a line of a table, so that its Markdown reads as plain text too."""
WEB_WIDTH = 130
"""Characters of a row of a page, so that a block fits a desktop window."""


def markdown(document: Document, width: int = WIDTH) -> str:
    """A table a group of columns, notes beneath."""
    sections = map(visible_section, document.sections)
    return "\n".join(_markdown_section(section, width) for section in sections)


def _markdown_section(section: Section, width: int) -> str:
    marks = "#" * section.level
    parts = [f"{marks} {markup.markdown(section.title)}\n"] if section.title else []
    parts += [f"{markup.markdown(section.lead)}\n"] if section.lead else []
    for table in section.tables:
        for block in blocks(table, width, padding=3):
            if block.title:
                parts.append(f"{marks}# {markup.markdown(block.title.capitalize())}\n")
            parts.append(_markdown_block(block))
    lines = [f"- {markup.markdown(note)}\n" for note in section.outcomes + section.notes]
    for about, details in section.details.items():
        lines.append(f"- {markup.markdown(about)}:\n")
        lines += [f"  - {markup.markdown(line)}\n" for line in details]
    return "\n".join([*parts, *(["".join(lines)] if lines else [])])


def _markdown_block(block: Block) -> str:
    align = "".join("r" if column.numeric else "l" for column in block.columns)
    headings = [markup.markdown(heading(column)) for column in block.columns]
    if block.title:
        headings[0] = ""
    rows = [list(map(_markdown_cell, row.cells)) for row in block.rows]
    return markup.markdown_table(align, headings, rows)


def _markdown_cell(cell: Cell) -> str:
    text = markup.markdown(cell.text)
    if cell.code and not set(cell.text) & set("`|\n"):  # which would end it
        return f"`{cell.text}`"
    if cell.link:
        return f"[{text}]({markup.address(cell.link)})"
    return f"**{text}**" if cell.bold else text


def latex(document: Document, width: int = WIDTH) -> str:
    """``tabular`` environments for the booktabs package, one a group of columns; of a section with
    a label one ``table`` with its notes, for threeparttable."""
    sections = list(map(visible_section, document.sections))
    packages = "booktabs,threeparttable" if any(s.label for s in sections) else "booktabs"
    parts = (_float(s) if s.label else _latex_section(s, width) for s in sections)
    return f"% \\usepackage{{{packages}}}\n" + "\n".join(parts)


def _float(section: Section) -> str:
    tables = [_latex_block(Block("", table.columns, table.rows)) for table in section.tables]
    notes = [f"\\item {markup.latex(note)}\n" for note in (*section.outcomes, *section.remarks)]
    return "".join(
        [
            "\\begin{table}\n\\centering\n\\begin{threeparttable}\n",
            f"\\caption{{{markup.latex(section.title)}}}\n",
            f"\\label{{{section.label}}}\n",
            *tables,
            *(
                ["\\begin{tablenotes}\\footnotesize\n", *notes, "\\end{tablenotes}\n"]
                if notes
                else []
            ),
            "\\end{threeparttable}\n\\end{table}\n",
        ]
    )


def _latex_section(section: Section, width: int) -> str:
    parts = [f"% {' '.join(section.title.split())}\n"]
    parts += [f"{markup.latex(section.lead)}\n"] if section.lead else []
    for table in section.tables:
        parts += [_latex_block(block) for block in blocks(table, width, padding=3)]
    notes = " ".join(markup.latex(note) for note in [*section.outcomes, *section.remarks])
    if notes:
        parts.append(f"\\par\\smallskip{{\\footnotesize\\raggedright {notes}\\par}}\n")
    return "\n".join(parts)


def _latex_block(block: Block) -> str:
    headings = [heading(column) for column in block.columns]
    headings[0] = block.title or headings[0]
    lines = [
        f"\\begin{{tabular}}{{{''.join('r' if c.numeric else 'l' for c in block.columns)}}}",
        "\\toprule",
        " & ".join(map(markup.latex, headings)) + r" \\",
        "\\midrule",
    ]
    for row in block.rows:
        lines.append(" & ".join(map(_latex_cell, row.cells)) + r" \\")
        if row.real:
            lines.append("\\midrule")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def _latex_cell(cell: Cell) -> str:
    text = markup.latex(cell.text)
    return f"\\textbf{{{text}}}" if cell.bold else text


def html(document: Document, width: int = WEB_WIDTH) -> str:
    """An HTML fragment, everything escaped."""
    sections = (html_section(section, width) for section in document.sections)
    return "".join(f"<section>\n{section}</section>\n" for section in sections)


def html_section(
    section: Section,
    width: int = WEB_WIDTH,
    pictures: Mapping[tuple[str, str], Markup] = MappingProxyType({}),
) -> Markup:
    """One section: its tables in blocks, and its notes. A long one is folded.

    ``pictures``: by the label of a row and the key of a column, what stands behind the text of the
    cell; it holds no text of its own.
    """
    from jinja2 import Environment, PackageLoader
    from markupsafe import Markup

    section = visible_section(section)
    loader = PackageLoader("genbench.rendering", "")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    made = [block for table in section.tables for block in blocks(table, width, padding=3)]
    template = environment.get_template("section.html")
    behind = {(visible(label), key): picture for (label, key), picture in pictures.items()}
    return Markup(template.render(section=section, blocks=made, pictures=behind))


def csv(document: Document) -> str:
    """Tidy rows: those of the document, or else one for each cell of its tables."""
    rows = _cells(document) if document.rows is None else document.rows()
    names = list(dict.fromkeys(name for row in rows for name in row))
    file = io.StringIO()
    writer = csv_format.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return visible(file.getvalue())


def _cells(document: Document) -> Sequence[Mapping[str, Any]]:
    return [
        {"section": section.title, "row": row.label, "column": column.heading, "value": cell.text}
        for section in document.sections
        for table in section.tables
        for row in table.rows
        for column, cell in zip(table.columns[1:], row.cells[1:], strict=True)
    ]


def json(document: Document) -> str:
    """The data of the document."""
    from json import dumps

    return visible(dumps(document.data, ensure_ascii=False, indent=1)) + "\n"
