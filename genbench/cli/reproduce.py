"""``genbench reproduce``."""

from __future__ import annotations

from dataclasses import asdict
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

    Exit status 3 where a score is not where the measured runs make one expect it.
    """
    from genbench import rendering
    from genbench.cli.printing import echo_json, say
    from genbench.experiment.reproduce import reproduce as run_again

    found = run_again(what, out, scores=names(scores), **where)
    if as_json:
        rows = [asdict(each) for each in found.scores]
        echo_json({"row": found.row, "conditions": list(found.conditions), "scores": rows})
    else:
        rendering.reproduction.show(found.scores)
        for line in found.conditions:
            say(line)
    return OUTSIDE if found.differs else 0
