"""Tables as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from genbench.analysis.comparison import Table
from genbench.rendering.layout import blocks
from genbench.rendering.text import all_tables
from genbench.store.records import Record

if TYPE_CHECKING:
    from markupsafe import Markup

WIDTH = 130
"""Characters of a row, so that a block fits a desktop window."""


def html(records: Sequence[Record]) -> str:
    """The comparisons and the diagnostics as an HTML fragment, everything escaped."""
    tables = all_tables(records)
    return "".join(f"<section>\n{html_table(table)}</section>\n" for table in tables)


def html_table(table: Table, heading: str | None = None) -> Markup:
    """One table, in blocks, with its notes, under ``heading`` or its own title."""
    from jinja2 import Environment, PackageLoader
    from markupsafe import Markup

    loader = PackageLoader("genbench.rendering", "")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.get_template("table.html")
    made = blocks(table, WIDTH, padding=3)
    return Markup(template.render(table=table, heading=heading or table.title, blocks=made))
