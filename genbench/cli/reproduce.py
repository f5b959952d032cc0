"""``genbench reproduce``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from genbench.cli.options import FOLDER, computing, jobs_and_seeds, json_option, names, score_names

OUTSIDE = 3
"""Exit status where a score is not what its record makes one expect."""


@click.command()
@click.argument("what", metavar="DIR:ROW")
@click.option("--out", type=FOLDER, help="Run folder [genbench-reproduce-ROW].")
@score_names
@json_option
@computing
@jobs_and_seeds
def reproduce(
    what: str, out: Path | None, scores: str | None, as_json: bool, where: dict[str, Any]
) -> int:
    """Train, sample and score the row ROW of the finished run DIR again, from its record.

    Exit status 3 if a score is not where the measured runs make one expect it.
    """
    from genbench.cli.printing import form_of, show
    from genbench.experiment.reproduce import reproduce as run_again

    found = run_again(what, out, scores=names(scores), **where)
    show(found.document(), form_of(as_json))
    return OUTSIDE if found.differs else 0
