"""Records → comparison tables, and the formats in which they are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from genbench.errors import UnknownName
from genbench.protocol import protocol_differences
from genbench.results import Record
from genbench.tables.cells import amount
from genbench.tables.columns import OVER_SEEDS, Column, comparison_columns, score_heading
from genbench.tables.compare import Row, Table, comparison
from genbench.tables.diagnostics import Training, diagnostics, trainings
from genbench.tables.entrants import Entrant, entrants, floor_of, is_collapsed
from genbench.tables.protocols import by_protocol
from genbench.tables.terminal import show, terminal
from genbench.tables.text import csv, json, latex, markdown
from genbench.tables.web import html, html_table

__all__ = [
    "FORMATS",
    "OVER_SEEDS",
    "Column",
    "Entrant",
    "Row",
    "Table",
    "Training",
    "amount",
    "by_protocol",
    "comparison",
    "comparison_columns",
    "diagnostics",
    "entrants",
    "floor_of",
    "html_table",
    "is_collapsed",
    "protocol_differences",
    "render",
    "score_heading",
    "show",
    "trainings",
]

FORMATS: dict[str, Callable[[Sequence[Record]], str]] = {
    "markdown": markdown,
    "csv": csv,
    "latex": latex,
    "json": json,
    "html": html,
    "terminal": terminal,
}


def render(records: Sequence[Record], format: str) -> str:
    """The records in one of ``FORMATS``, ending in a newline.

    Markdown, LaTeX, HTML and the terminal show the comparison; CSV (one row a score) and JSON (the
    records whole) are the data behind it. Raises ``UnknownName``.
    """
    if format not in FORMATS:
        raise UnknownName("format", format, FORMATS)
    return FORMATS[format](records)
