"""``genbench sensitivity``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genbench.api.errors import UsageError
from genbench.cli.options import FOLDER, Form, format_option, of_suite

if TYPE_CHECKING:
    from genbench.suite import Suite


@click.command()
@click.option(
    "--over",
    multiple=True,
    required=True,
    metavar="KEY=VALUE,…",
    help="A setting and its values; separate several by commas, or repeat --over.",
)
@click.option("--score", metavar="NAME", help="Score to rank by [the suite's first].")
@click.option(
    "--within",
    "factor",
    type=click.FloatRange(min=1),
    default=1.5,
    show_default=True,
    help="Settings within this factor of the best count as nearly as good.",
)
@click.option("--out", type=FOLDER, help="Run folder [genbench-SUITE-sensitivity].")
@format_option
@of_suite
def sensitivity(
    suite: Suite,
    over: tuple[str, ...],
    score: str | None,
    factor: float,
    out: Path | None,
    form: Form,
    dry_run: bool,
    where: dict[str, Any],
) -> int:
    """Train every entry of SUITE on a grid of settings: how much depends on tuning?

    A setting is an option of the entry's model, or examples, or a key of [train]. Prints the share
    of the grid nearly as good as its best, and the expected best score of so many trials.
    """
    from genbench.cli.printing import say, say_where, show, show_plan
    from genbench.experiment.run import REPORT, TABLE
    from genbench.experiment.sensitivity import SENSITIVITY, default_folder, grid_of
    from genbench.experiment.sensitivity import sensitivity as run_grid
    from genbench.store.records import RECORDS

    if dry_run and form.format != "terminal":
        raise UsageError("--dry-run prints a plan, --format shows results: leave one of them out")
    if dry_run:
        grid = grid_of(suite, over)
        for entry, reason in grid.left_out.items():
            say(f"{entry} is left out: {reason}")
        return show_plan(grid.suite, out or default_folder(suite), where)
    started = time.perf_counter()
    found = run_grid(suite, over, out, score=score, factor=factor, **where)
    show(found.document(), form)
    files = (SENSITIVITY, REPORT, TABLE, RECORDS)
    say_where(found.results.folder, files, time.perf_counter() - started)
    return int(found.results.has_faults)
