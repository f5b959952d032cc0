"""``genbench run``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genbench.cli.options import FOLDER, of_suite

if TYPE_CHECKING:
    from genbench.suite import Suite


@click.command()
@click.option("--out", type=FOLDER, help="Run folder [genbench-SUITE].")
@click.option("--executor", default="local", show_default=True, help="Executor of the trainings.")
@of_suite
def run(suite: Suite, out: Path | None, executor: str, dry_run: bool, where: dict[str, Any]) -> int:
    """Train, sample, score and compare every entry of SUITE (a name or a TOML file)."""
    from genbench.analysis.selection import offered_verdicts
    from genbench.analysis.summary import document
    from genbench.cli.printing import say, say_where, show, show_plan
    from genbench.experiment.run import REPORT, TABLE
    from genbench.experiment.run import run as run_suite
    from genbench.store.records import RECORDS

    if dry_run:
        return show_plan(suite, out, where | {"executor": executor})
    started = time.perf_counter()
    results = run_suite(suite, out, executor=executor, **where)
    verdicts, faults = offered_verdicts(results.records)
    for fault in faults:
        say(fault)
    show(document(results.records, verdicts))
    say_where(results.folder, (REPORT, TABLE, RECORDS), time.perf_counter() - started)
    return int(results.has_faults)
