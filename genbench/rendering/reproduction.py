"""Rows that were run again, on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from genbench.analysis.reproduction import Reproduction

COLOURS = {"inside": "green", "outside": "red", "undecided": "yellow"}


def show(found: Sequence[Reproduction], console: Console | None = None) -> None:
    """Print a row a score. ``console``: standard output by default."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("score")
    for heading in ("measured", "expected between", "again", "identical"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for each in found:
        expected = "—" if each.low is None else f"{each.low:.4g} and {each.high:.4g}"
        table.add_row(
            Text(each.score),
            "—" if each.measured is None else f"{each.measured:.4g}",
            expected,
            "—" if each.again is None else f"{each.again:.4g}",
            f"{each.identical} of {each.seeds} seeds",
            Text(each.outcome, style=COLOURS[each.outcome]),
        )
    (console or Console()).print(table)
