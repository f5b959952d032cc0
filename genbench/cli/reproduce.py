"""``genbench reproduce``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from genbench.cli.options import (
    FOLDER,
    Form,
    computing,
    format_option,
    jobs_and_seeds,
    names,
    score_names,
)

OUTSIDE = 3
"""Exit status where a score is not what its record makes one expect."""


@click.command()
@click.argument("what", metavar="DIR:ROW")
@click.option("--out", type=FOLDER, help="Run folder [genbench-reproduce-ROW].")
@score_names
@format_option
@computing
@jobs_and_seeds
def reproduce(
    what: str, out: Path | None, scores: str | None, form: Form, where: dict[str, Any]
) -> int:
    """Train, sample and score the row ROW of the finished run DIR again, from its record.

    Exit status 3 if a score is not where the measured runs make one expect it.
    """
    from genbench.cli.printing import show
    from genbench.experiment.reproduce import reproduce as run_again

    found = run_again(what, out, scores=names(scores), **where)
    show(found.document(), form)
    return OUTSIDE if found.differs else 0
