"""A document → the formats in which it is shown: one renderer a format, whatever it is about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from genbench.analysis.document import Document
from genbench.api.errors import UnknownName
from genbench.rendering.terminal import show, terminal
from genbench.rendering.text import csv, html, html_section, json, latex, markdown

__all__ = ["FORMATS", "DisplayedDocument", "html_section", "render", "show"]

FORMATS: dict[str, Callable[..., str]] = {
    "terminal": terminal,
    "markdown": markdown,
    "latex": latex,
    "html": html,
    "csv": csv,
    "json": json,
}


def render(document: Document, format: str, width: int | None = None) -> str:
    """The document in one of ``FORMATS``, ending in a newline. Raises ``UnknownName``.

    ``width``: characters of a line, where tables are cut to fit; by default as fits the format.
    CSV (tidy rows) and JSON are the data behind the tables.
    """
    if format not in FORMATS:
        raise UnknownName("format", format, FORMATS)
    if width is None or format in ("csv", "json"):
        return FORMATS[format](document)
    return FORMATS[format](document, width=width)


@dataclass(frozen=True, repr=False)
class DisplayedDocument:
    """A document that shows itself: printed, and as the value of a notebook's cell."""

    document: Document

    @property
    def data(self) -> Any:
        """What it says, JSON-like."""
        return self.document.data

    def __str__(self) -> str:
        return render(self.document, "terminal")

    def __repr__(self) -> str:
        return str(self)

    def _repr_markdown_(self) -> str:
        return render(self.document, "markdown")

    def _repr_html_(self) -> str:
        return render(self.document, "html")
