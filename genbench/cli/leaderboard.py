"""``genbench leaderboard``."""

from __future__ import annotations

from pathlib import Path

import click

from genbench.cli.options import FOLDER, Form, format_option


@click.command()
@click.argument("name", metavar="NAME")
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=FOLDER)
@format_option
def leaderboard(name: str, paths: tuple[Path, ...], form: Form) -> None:
    """Rank published results, and those measured in PATH, by protocol.

    NAME is a name that genbench list leaderboards shows, or a TOML file. PATH is a run folder, or a
    folder of run folders; for the leaderboard geneval it may be the results.jsonl that GenEval's
    evaluation code wrote.
    """
    from genbench.analysis.selection import ranked
    from genbench.analysis.standings_document import document
    from genbench.cli.printing import show

    show(document(*ranked(name, paths)), form)
