"""``genbench sensitivity``: every entry of a suite at every point of a grid of settings."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genbench import store, suite
from genbench.api.errors import DataError, UnknownName, UsageError
from genbench.cli.suites import REPORT, TABLE, described, perform, say, status
from genbench.store.records import RECORDS

if TYPE_CHECKING:
    from genbench.cli.options import Place
    from genbench.store.records import Record

SENSITIVITY = "sensitivity.md"


def sensitivity(
    name: str,
    over: Sequence[str],
    out: Path,
    overrides: Sequence[str],
    *,
    score: str | None,
    factor: float,
    seeds: Sequence[int] | None,
    jobs: int | None,
    precision: str | None,
    place: Place,
    dry_run: bool,
    loggers: tuple[str, ...],
    as_json: bool,
    plugins: Sequence[Path],
    data_dir: Path,
) -> int:
    """Run the grid and print what it says; the exit status is that of ``genbench run``."""
    if dry_run and as_json:
        raise UsageError("--dry-run prints a plan, --json results: leave one of them out")
    started = time.perf_counter()
    content = described(name, overrides, precision)
    scores = [*content.score.metrics, *(["bits_per_dim"] if content.score.likelihood else [])]
    if score is not None and score not in scores:
        raise UnknownName("score of the suite", score, scores)
    grid = suite.expand_grid(content, suite.parse_over(over))
    hardware = place.hardware(data_dir)
    for entry, reason in grid.left_out.items():
        say(f"{entry} is left out: {reason}")
    if dry_run:
        from genbench.cli.planning import show_plan

        show_plan(grid.suite, seeds, hardware, jobs)
        return 0
    own = f"sensitivity {Path(name).stem}"  # another suite: its entries are not that one's
    records = perform(own, grid.suite, out, hardware, seeds, jobs, plugins, loggers)
    if records is None:
        return 0
    from genbench import rendering
    from genbench.analysis.sensitivity import document, sensitivities

    chosen = _scored(records, content.score.metrics, score)
    found = sensitivities(records, grid, chosen, factor)
    shown = document(found, grid.left_out)
    store.write_text(out / SENSITIVITY, rendering.render(shown, "markdown"))
    if as_json:
        click.echo(rendering.render(shown, "json"), nl=False)
    else:
        rendering.show(shown)
    files = f"{out / SENSITIVITY}, {REPORT}, {TABLE} and {RECORDS}"
    say(f"{files}: {time.perf_counter() - started:.0f} s in all")
    return status(records)


def _scored(records: Sequence[Record], metrics: Sequence[str], wanted: str | None) -> str:
    """The score to judge by: the one ``wanted``, or the suite's first that some run has. Raises
    ``DataError`` where none has the one wanted, though runs were scored."""
    scored = {score for record in records for score in record.scores}
    if wanted is None:
        return next((score for score in metrics if score in scored), metrics[0])
    if scored and wanted not in scored:
        skipped = (record.skipped_metrics.get(wanted) for record in records)
        reason = next((reason for reason in skipped if reason is not None), "no run came to it")
        raise DataError(f"--score {wanted}: {reason}")
    return wanted
