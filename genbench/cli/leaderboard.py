"""``genbench leaderboard``."""

from __future__ import annotations

from pathlib import Path

import click

from genbench.cli.options import FOLDER, format_option


@click.command()
@click.argument("name", metavar="NAME")
@click.argument("folders", metavar="[DIR]...", nargs=-1, type=FOLDER)
@format_option
def leaderboard(name: str, folders: tuple[Path, ...], form: str) -> None:
    """Rank what was published, and what was measured in DIR, protocol by protocol.

    NAME is one that genbench list leaderboards shows, or a TOML file; DIR a run folder, or one
    that holds several.
    """
    from genbench.analysis.standings import document
    from genbench.cli.printing import show
    from genbench.experiment.results import ranked

    show(document(*ranked(name, folders)), form)
