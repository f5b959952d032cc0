"""``genbench report``."""

from __future__ import annotations

from pathlib import Path

import click

from genbench.cli.options import FOLDER


@click.command()
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=FOLDER)
@click.option("--out", type=FOLDER, required=True, help="An .html file.")
def report(folders: tuple[Path, ...], out: Path) -> None:
    """Write one self-contained HTML page about finished runs."""
    from genbench.cli.printing import say
    from genbench.report import write_report

    write_report(folders, out)
    say(f"{out} written")
