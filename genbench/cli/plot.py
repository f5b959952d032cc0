"""``genbench plot``."""

from __future__ import annotations

from pathlib import Path

import click

from genbench.cli.options import FOLDER, names


@click.command()
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=FOLDER)
@click.option("--out", type=FOLDER, required=True, help="A folder, for one file of each chart.")
@click.option("--charts", metavar="A,B", help="Charts to write, for example intervals [all].")
@click.option(
    "--format", type=click.Choice(["pdf", "svg", "png"]), default="pdf", show_default=True
)
def plot(folders: tuple[Path, ...], out: Path, charts: str | None, format: str) -> None:
    """Write the charts of the report as figures for a paper, with legends."""
    from genbench.cli.printing import say
    from genbench.report import write_plots

    for line in write_plots(folders, out, names(charts), format):
        say(line)
