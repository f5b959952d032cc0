"""``genbench table``."""

from __future__ import annotations

import gc
from pathlib import Path

import click

from genbench.api.errors import UsageError
from genbench.cli.options import FOLDER, Form, format_option, names


@click.command()
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=FOLDER)
@format_option
@click.option("--scores", metavar="A,B", help="Scores to show [all].")
@click.option("--entries", metavar="A,B", help="Entries to show, in this order [all].")
@click.option("--transpose", is_flag=True, help="A column for each entry.")
@click.option("--caption", help="In place of the title; LaTeX is then one float with its notes.")
@click.option("--label", help="Of that float [tab:results].")
def table(
    folders: tuple[Path, ...],
    form: Form,
    scores: str | None,
    entries: str | None,
    transpose: bool,
    caption: str | None,
    label: str | None,
) -> None:
    """Print the comparison tables of finished runs."""
    from genbench.analysis.selection import compared
    from genbench.cli.printing import show
    from genbench.store.records import read_records

    records = [record for folder in folders for record in read_records(folder)]
    gc.freeze()  # none of them is garbage, and no search need go through them again
    if transpose and form.format in ("csv", "json"):
        raise UsageError(f"--transpose is for tables; {form.format} holds all that there is")
    document = compared(
        records,
        names(scores) or None,
        names(entries) or None,
        transpose=transpose,
        caption=caption,
        label=label,
    )
    show(document, form)
