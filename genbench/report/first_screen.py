"""What a reader sees without scrolling: which entry is best, whether that is sure, and samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from genbench.analysis.columns import headline
from genbench.analysis.comparison import Comparison
from genbench.analysis.summary import section
from genbench.analysis.verdict import Verdict
from genbench.rendering import html_section
from genbench.report import panels
from genbench.report.bars import bars
from genbench.report.panels import Panel, Reader

QUESTION = "Which entry is best, and is that sure?"


@dataclass(frozen=True)
class FirstScreen:
    """Of one comparison."""

    samples: Sequence[Panel]
    """The first samples of the entries of the table, as far as there are any."""
    table: Markup
    """The entries by the headline score, with its bars, and the verdict in words."""


def first_screen(
    compared: Comparison,
    verdicts: Sequence[Verdict],
    colours: Mapping[str, int],
    alone: bool,
    read: Reader,
) -> FirstScreen:
    """Of one comparison, ``alone`` on its page or one of several."""
    found = section(compared, verdicts)
    by_label = {row.label: row for row in compared.entry_runs}
    rows = [by_label[row.label] for table in found.tables for row in table.rows]
    records = [record for row in compared.entry_runs for record in row.records]
    drawn = bars(rows, headline(records, compared.protocol), colours)
    notes = found.notes
    if len(rows) < len(compared.entry_runs):  # the first note counts the others: the answer first
        notes = (*notes[1:], notes[0])
    if drawn is not None:
        notes = (*notes, drawn.said)
    found = replace(found, title=QUESTION if alone else f"{compared.title}: summary", notes=notes)
    pictures = {} if drawn is None else drawn.pictures
    return FirstScreen(panels.firsts(rows, read), html_section(found, pictures=pictures))
