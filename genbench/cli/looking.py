"""``genbench table`` and ``genbench report``: the records of finished runs, to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from genbench import rendering
from genbench.analysis import comparison
from genbench.report import write_report
from genbench.store.records import read_records


def table(folders: Sequence[Path], form: str) -> None:
    """Print the comparison tables of all ``folders``."""
    records = [record for folder in folders for record in read_records(folder)]
    click.echo(rendering.render(comparison.document(records), form), nl=False)


def report(folders: Sequence[Path], out: Path) -> None:
    """Write one self-contained HTML page."""
    write_report(folders, out)
    click.echo(f"{out} written", err=True)
