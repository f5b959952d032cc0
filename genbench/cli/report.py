"""``genbench report``."""

from __future__ import annotations

from pathlib import Path

import click

from genbench.cli.options import FOLDER, plugin_option


@click.command()
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=FOLDER)
@click.option("--out", type=FOLDER, required=True, help="An .html file.")
@plugin_option
def report(folders: tuple[Path, ...], out: Path, plugins: tuple[Path, ...]) -> None:
    """Write one self-contained HTML page about finished runs."""
    from genbench import registry
    from genbench.cli.printing import say
    from genbench.report import write_report

    registry.add_plugin_files(plugins)
    write_report(folders, out)
    say(f"{out} written")
