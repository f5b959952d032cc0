"""``genbench stability``."""

from __future__ import annotations

from pathlib import Path

import click

from genbench.cli.options import FOLDER, Form, format_option


@click.command()
@click.argument("curves", metavar="CURVES.csv", type=FOLDER)
@click.option("--metric", help="Metric to read, if there are several.")
@click.option("--higher-is-better", is_flag=True, help="For scores such as the inception score.")
@click.option("--over", "limit", type=click.FloatRange(min=1), default=1.2, show_default=True)
@format_option
def stability(
    curves: Path, metric: str | None, higher_is_better: bool, limit: float, form: Form
) -> None:
    """Judge training curves from anywhere: columns run, step, metric, value.

    Names the runs whose last value, and those whose worst value after their best, is over the best
    by more than a factor.
    """
    from genbench.analysis.curves import document
    from genbench.analysis.curves import stability as judge
    from genbench.cli.printing import show

    found = judge(curves, metric, higher_is_better=higher_is_better, limit=limit)
    show(document(found), form)
