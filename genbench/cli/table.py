"""``genbench table``."""

from __future__ import annotations

import gc
from pathlib import Path

import click

from genbench.cli.options import FOLDER, Form, format_option, names


@click.command()
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=FOLDER)
@format_option
@click.option("--scores", metavar="A,B", help="Scores to show [all].")
@click.option("--entries", metavar="A,B", help="Entries to show, in this order [all].")
def table(folders: tuple[Path, ...], form: Form, scores: str | None, entries: str | None) -> None:
    """Print the comparison tables of finished runs."""
    from genbench.analysis.comparison import document
    from genbench.analysis.selection import select
    from genbench.cli.printing import show
    from genbench.store.records import read_records

    records = [record for folder in folders for record in read_records(folder)]
    gc.freeze()  # none of them is garbage, and no search need go through them again
    chosen = select(records, names(scores) or None, names(entries) or None)
    show(document(chosen), form)
