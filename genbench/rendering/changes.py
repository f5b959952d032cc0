"""What changed between two runs, on a terminal or as JSON."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from genbench.analysis.changes import Changes

COLOURS = {"better": "green", "worse": "red", "within noise": "dim", "undecided": "yellow"}


def show(found: Changes, before: str, after: str, console: Console | None = None) -> None:
    """Print them. ``console``: standard output by default."""
    out = console or Console()
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in ("entry", "score"):
        table.add_column(heading)
    for heading in ("before", "after", "difference"):
        table.add_column(heading, justify="right")
    for heading in ("", "why"):
        table.add_column(heading)
    for change in found.changes:
        numbers = [
            "—" if value is None else f"{value:.4g}" for value in (change.before, change.after)
        ]
        d = change.difference
        interval = "—" if d is None else f"{d.value:+.2g} [{d.low:+.2g}, {d.high:+.2g}]"
        outcome = Text(change.outcome, style=COLOURS[change.outcome])
        names = Text(change.entry), Text(change.score)
        table.add_row(*names, *numbers, interval, outcome, change.reason)
    out.print(table)
    for folder, entries in ((before, found.only_before), (after, found.only_after)):
        if entries:
            out.print(f"only in {folder}: {', '.join(entries)}", markup=False, soft_wrap=True)
