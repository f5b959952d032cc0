"""``genbench verdict`` and ``genbench compare``: what the records of finished runs decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from json import dumps
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from genbench.analysis.changes import Change, changes
from genbench.analysis.claims import load
from genbench.analysis.claims import offered as offered_claims
from genbench.analysis.verdict import applicable, judge
from genbench.api.errors import UsageError
from genbench.cli.screen import console
from genbench.rendering import verdict
from genbench.store.records import read_records

COLOURS = {"better": "green", "worse": "red", "within noise": "dim", "undecided": "yellow"}
REGRESSION = 3
"""Exit status where something got worse, or is gone."""


def decide(folders: Sequence[Path], claims: str | None, form: str) -> None:
    """Print what the records of all ``folders`` say of the ``claims``, or else of all that packages
    offer and these records have the contestants for."""
    records = [record for folder in folders for record in read_records(folder)]
    if claims is not None:
        verdicts = judge(records, load(claims))
    else:
        offered, faults = offered_claims()
        for fault in faults:
            console.print(fault, markup=False, soft_wrap=True)
        verdicts = applicable(records, offered)
        if not verdicts:
            raise UsageError(
                "these runs have no contestants for the claims that genbench list claims shows: "
                "name others with --claims"
            )
    if form == "terminal":
        verdict.show(verdicts)
    else:
        click.echo(verdict.render(verdicts, form), nl=False)


def compare(before: Path, after: Path, scores: str | None, as_json: bool) -> int:
    """Print what changed from ``before`` to ``after``; 3 where something got worse or is gone."""
    names = [name.strip() for name in scores.split(",")] if scores else []
    found = changes(read_records(before), read_records(after), names)
    if as_json:
        click.echo(dumps(asdict(found), ensure_ascii=False, indent=1))
    else:
        out = Console()
        out.print(_changes_table(found.changes))
        for folder, entries in ((before, found.only_before), (after, found.only_after)):
            if entries:
                said = f"only in {folder}: {', '.join(entries)}"
                out.print(said, markup=False, soft_wrap=True)
    worse = any(change.outcome == "worse" for change in found.changes)
    return REGRESSION if worse or found.only_before else 0


def _changes_table(changes: Sequence[Change]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in ("entry", "score"):
        table.add_column(heading)
    for heading in ("before", "after", "difference"):
        table.add_column(heading, justify="right")
    for heading in ("", "why"):
        table.add_column(heading)
    for change in changes:
        numbers = [
            "—" if value is None else f"{value:.4g}" for value in (change.before, change.after)
        ]
        d = change.difference
        interval = "—" if d is None else f"{d.value:+.2g} [{d.low:+.2g}, {d.high:+.2g}]"
        outcome = Text(change.outcome, style=COLOURS[change.outcome])
        names = Text(change.entry), Text(change.score)
        table.add_row(*names, *numbers, interval, outcome, change.reason)
    return table
