"""``genbench verdict`` and ``genbench compare``: what the records of finished runs decide."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from genbench import rendering
from genbench.analysis import changes, verdict
from genbench.analysis.claims import load
from genbench.analysis.claims import offered as offered_claims
from genbench.analysis.verdict import applicable, judge
from genbench.api.errors import UsageError
from genbench.cli.screen import console
from genbench.store.records import read_records

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
    found = verdict.document(verdicts)
    if form == "terminal":
        rendering.show(found)
    else:
        click.echo(rendering.render(found, form), nl=False)


def compare(before: Path, after: Path, scores: str | None, as_json: bool) -> int:
    """Print what changed from ``before`` to ``after``; 3 where something got worse or is gone."""
    names = [name.strip() for name in scores.split(",")] if scores else []
    found = changes.changes(read_records(before), read_records(after), names)
    shown = changes.document(found, str(before), str(after))
    if as_json:
        click.echo(rendering.render(shown, "json"), nl=False)
    else:
        rendering.show(shown)
    return REGRESSION if found.worsened else 0
