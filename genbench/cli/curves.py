"""``genbench stability``: training curves from anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from json import dumps
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from genbench.analysis.curves import Course, course, exceeding, read_curves
from genbench.cli.screen import console

RATIOS = {
    "last_over_best": "last over best",
    "worst_after_best": "worst after the best, over it",
}


def stability(
    path: Path, metric: str | None, higher_is_better: bool, limit: float, as_json: bool
) -> None:
    """Print what became of a metric along each training in the file at ``path``."""
    metric, curves = read_curves(path, metric)
    courses = [course(curve, higher_is_better) for curve in curves]
    over = {field: exceeding(courses, field, limit) for field in RATIOS}
    repeated = sum(curve.repeated for curve in curves)
    if as_json:
        told = {
            "metric": metric,
            "higher_is_better": higher_is_better,
            "limit": limit,
            "repeated_rows": repeated,
            "runs": [asdict(each) for each in courses],
            "exceeding": over,
        }
        click.echo(dumps(told, ensure_ascii=False, indent=1))
        return
    out = Console()
    out.print(_table(metric, courses))
    for field, heading in RATIOS.items():
        out.print(f"\n{heading} exceeds {limit:g} in {len(over[field])} of {len(courses)}:")
        for name in over[field]:
            out.print(f"  {name}", markup=False, soft_wrap=True)
    if repeated:
        rows = "1 row was" if repeated == 1 else f"{repeated} rows were"
        console.print(f"{rows} left out: a later row has the same step")


def _table(metric: str, courses: Sequence[Course]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column(metric, overflow="fold")
    for heading in ("points", "best", "at step", "last", "last / best", "worst after", "fall"):
        table.add_column(heading, justify="right")
    for each in courses:
        table.add_row(
            Text(each.name),
            str(each.points),
            _said(each.best, ",.6g"),
            _said(each.best_step, ",.0f"),
            _said(each.last, ",.6g"),
            *(
                _said(ratio, ".2f")
                for ratio in (each.last_over_best, each.worst_after_best, each.max_drawdown)
            ),
        )
    return table


def _said(value: float | None, how: str) -> str:
    return "—" if value is None else format(value, how)
