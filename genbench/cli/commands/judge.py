"""The commands that read records, and decide."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from genbench.cli.options import (
    FOLDER,
)

FORMATS = ("markdown", "csv", "latex", "json", "html")
READABLE = ("terminal", "markdown", "json")


@click.command()
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=FOLDER)
@click.option("--format", "form", type=click.Choice(FORMATS), default="markdown", show_default=True)
def table(folders: tuple[Path, ...], form: str) -> None:
    """Print the comparison tables of finished runs."""
    from genbench.cli import looking

    looking.table(folders, form)


@click.command()
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=FOLDER)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="An .html file.")
def report(folders: tuple[Path, ...], out: Path) -> None:
    """Write one self-contained HTML page about finished runs."""
    from genbench.cli import looking

    looking.report(folders, out)


@click.command()
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=FOLDER)
@click.option("--claims", metavar="CLAIMS", help="A name or a TOML file [all that apply].")
@click.option(
    "--format", "form", type=click.Choice(READABLE), default="terminal", show_default=True
)
def verdict(folders: tuple[Path, ...], claims: str | None, form: str) -> None:
    """Decide claims on finished runs: supported, contradicted or undecided, and why."""
    from genbench.cli import judging

    judging.decide(folders, claims, form)


@click.command()
@click.argument("name", metavar="NAME")
@click.argument("folders", metavar="[DIR]...", nargs=-1, type=FOLDER)
@click.option(
    "--format", "form", type=click.Choice(READABLE), default="terminal", show_default=True
)
def leaderboard(name: str, folders: tuple[Path, ...], form: str) -> None:
    """Rank what was published, and what was measured in DIR, protocol by protocol.

    NAME is one that genbench list leaderboards shows, or a TOML file; DIR an output folder, or one
    that holds several.
    """
    from genbench.cli import leading

    leading.rank(name, folders, form)


@click.command()
@click.argument("before", metavar="A", type=FOLDER)
@click.argument("after", metavar="B", type=FOLDER)
@click.option("--scores", metavar="A,B", help="Which to compare [the suite's first].")
@click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
def compare(before: Path, after: Path, scores: str | None, as_json: bool) -> None:
    """Say what got better or worse from run A to run B, beyond the noise of seeds.

    Exit status 3 where something got worse, more runs were lost, or an entry is gone: a gate for
    continuous integration.
    """
    from genbench.cli import judging

    sys.exit(judging.compare(before, after, scores, as_json))


@click.command()
@click.argument("curves", metavar="CURVES.csv", type=click.Path(path_type=Path))
@click.option("--metric", help="Which of several.")
@click.option("--higher-is-better", is_flag=True, help="As of an inception score.")
@click.option("--over", "limit", type=click.FloatRange(min=1), default=1.2, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
def stability(
    curves: Path, metric: str | None, higher_is_better: bool, limit: float, as_json: bool
) -> None:
    """Judge training curves from anywhere: columns run, step, metric, value.

    Names the runs whose last value, and those whose worst value after their best, is over the best
    by more than a factor.
    """
    from genbench.cli.curves import stability as judge

    judge(curves, metric, higher_is_better, limit, as_json)
