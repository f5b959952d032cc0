"""What some samples scored, on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from genbench.evaluation import Scores, interval
from genbench.store.protocol import lines


def show(scores: Scores, console: Console | None = None) -> None:
    """Print the scores and, with them, their protocol. ``console``: standard output by default."""
    out = console or Console()
    table = Table("metric", "", "value", "95 % interval", box=None, pad_edge=False)
    for name, estimate in scores.values.items():
        arrow = "↑" if scores.better[name] else "↓"
        table.add_row(name, arrow, f"{estimate.value:.6g}", escape(interval(estimate)))
    out.print(table)
    for name, reason in scores.skipped.items():
        out.print(f"{name} skipped: {reason}", highlight=False, markup=False, soft_wrap=True)
    for note in scores.notes:
        out.print(f"! {note}", style="yellow", highlight=False, markup=False, soft_wrap=True)
    out.print("\nprotocol", style="bold")
    for line in lines(scores.protocol):
        out.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
