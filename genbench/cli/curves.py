"""``genbench stability``: training curves from anywhere."""

from __future__ import annotations

from pathlib import Path

import click

from genbench import rendering
from genbench.analysis.curves import document, read_curves


def stability(
    path: Path, metric: str | None, higher_is_better: bool, limit: float, as_json: bool
) -> None:
    """Print what became of a metric along each training in the file at ``path``."""
    metric, curves = read_curves(path, metric)
    found = document(metric, curves, limit, higher_is_better)
    if as_json:
        click.echo(rendering.render(found, "json"), nl=False)
    else:
        rendering.show(found)
