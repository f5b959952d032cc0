"""``genbench compare``."""

from __future__ import annotations

from pathlib import Path

import click

from genbench.cli.options import FOLDER, Form, format_option, names, score_names

REGRESSION = 3
"""Exit status if something got worse, or is missing."""


@click.command()
@click.argument("before", metavar="A", type=FOLDER)
@click.argument("after", metavar="B", type=FOLDER)
@score_names
@format_option
def compare(before: Path, after: Path, scores: str | None, form: Form) -> int:
    """Show what got better or worse from run A to run B, beyond the noise of seeds.

    Exit status 3 if something got worse, more runs were lost, or an entry is missing: for use in
    continuous integration.
    """
    from genbench.analysis.changes import changes, document
    from genbench.cli.printing import show
    from genbench.store.records import read_records

    found = changes(read_records(before), read_records(after), names(scores))
    show(document(found, str(before), str(after)), form)
    return REGRESSION if found.worse else 0
