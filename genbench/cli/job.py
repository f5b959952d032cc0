"""``genbench job``: what an executor runs on another machine."""

from __future__ import annotations

from pathlib import Path

import click

from genbench.cli.options import FOLDER


@click.command(hidden=True)
@click.argument("file", type=FOLDER)
@click.option("--out", type=FOLDER, help="File for its rows [standard output].")
def job(file: Path, out: Path | None) -> None:
    """Run the job in the JSON file FILE, and write its rows as JSON."""
    import json

    from genbench import store
    from genbench.experiment.work import read_job, run_here
    from genbench.rendering.progress import waiting

    with waiting() as report:
        rows = json.dumps(run_here(read_job(file), report))
    if out is None:
        click.echo(rows)
    else:
        store.write_text(out, rows)
