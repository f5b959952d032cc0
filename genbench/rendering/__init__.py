"""A document → the formats in which it is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from genbench.api.errors import UnknownName
from genbench.rendering import (
    changes,
    curves,
    leaderboard,
    reproduction,
    scores,
    sensitivity,
    verdict,
)
from genbench.rendering.terminal import show, terminal
from genbench.rendering.text import csv, json, latex, markdown
from genbench.rendering.web import html
from genbench.store.records import Record

__all__ = [
    "FORMATS",
    "changes",
    "curves",
    "leaderboard",
    "render",
    "reproduction",
    "scores",
    "sensitivity",
    "show",
    "verdict",
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
