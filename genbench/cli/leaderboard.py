"""``genbench leaderboard``."""

from __future__ import annotations

from pathlib import Path

import click

from genbench.cli.options import FOLDER, format_option


@click.command()
@click.argument("name", metavar="NAME")
@click.argument("folders", metavar="[DIR]...", nargs=-1, type=FOLDER)
@format_option("terminal", "markdown", "json")
def leaderboard(name: str, folders: tuple[Path, ...], form: str) -> None:
    """Rank what was published, and what was measured in DIR, protocol by protocol.

    NAME is one that genbench list leaderboards shows, or a TOML file; DIR a run folder, or one
    that holds several.
    """
    from genbench import rendering
    from genbench.experiment.results import ranked

    board, groups = ranked(name, folders)
    if form == "terminal":
        rendering.leaderboard.show(board, groups)
    else:
        click.echo(rendering.leaderboard.render(board, groups, form), nl=False)
