"""``genbench verdict``."""

from __future__ import annotations

import gc
from pathlib import Path

import click

from genbench.cli.options import FOLDER, Form, format_option


@click.command()
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=FOLDER)
@click.option("--claims", metavar="CLAIMS", help="Name or TOML file of claims [all that apply].")
@format_option
def verdict(folders: tuple[Path, ...], claims: str | None, form: Form) -> None:
    """Decide claims on finished runs: supported, contradicted or undecided, and why."""
    from genbench.analysis.selection import decided
    from genbench.analysis.verdict import document
    from genbench.cli.printing import say, show
    from genbench.store.records import read_records

    records = [record for folder in folders for record in read_records(folder)]
    gc.freeze()  # none of them is garbage, and no search need go through them again
    verdicts, faults = decided(records, claims)
    for fault in faults:
        say(fault)
    show(document(verdicts), form)
