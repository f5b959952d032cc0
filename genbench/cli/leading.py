"""``genbench leaderboard``: published and measured rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from genbench import rendering
from genbench.analysis.published import load
from genbench.analysis.standings import document, standings
from genbench.store.records import RECORDS, read_records


def rank(name: str, folders: Sequence[Path], form: str) -> None:
    """Print the leaderboard of that name, with what was measured in ``folders``."""
    board = load(name)
    measured = [(str(folder), read_records(folder)) for folder in _outputs(folders)]
    found = document(board, standings(board, measured))
    if form == "terminal":
        rendering.show(found)
    else:
        click.echo(rendering.render(found, form), nl=False)


def _outputs(folders: Sequence[Path]) -> list[Path]:
    """The output folders among ``folders``: themselves, or those directly in them."""
    found = []
    for folder in folders:
        inside = sorted(path.parent for path in folder.glob(f"*/{RECORDS}"))
        found += [folder] if (folder / RECORDS).exists() or not inside else inside
    return found
