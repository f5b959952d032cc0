"""Training curves from anywhere, on a terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from genbench.analysis.curves import CurveStability

RATIOS = {
    "last_over_best": "last over best",
    "worst_after_best": "worst after the best, over it",
}


def show(found: CurveStability, console: Console | None = None) -> None:
    """Print a row a run, and the runs beyond the limit. ``console``: standard output by default."""
    out = console or Console()
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column(found.metric, overflow="fold")
    for heading in ("points", "best", "at step", "last", "last / best", "worst after", "drawdown"):
        table.add_column(heading, justify="right")
    for each in found.runs:
        table.add_row(
            Text(each.name),
            str(each.points),
            _number(each.best, ",.6g"),
            _number(each.best_step, ",.0f"),
            _number(each.last, ",.6g"),
            *(
                _number(ratio, ".2f")
                for ratio in (each.last_over_best, each.worst_after_best, each.max_drawdown)
            ),
        )
    out.print(table)
    for field, heading in RATIOS.items():
        names = found.exceeding[field]
        out.print(f"\n{heading} exceeds {found.limit:g} in {len(names)} of {len(found.runs)}:")
        for name in names:
            out.print(f"  {name}", markup=False, soft_wrap=True)


def _number(value: float | None, form: str) -> str:
    return "—" if value is None else format(value, form)
