"""``genbench check``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genbench.cli.options import common, json_option, key_values

if TYPE_CHECKING:
    from genbench.testing import Check


@click.command()
@click.argument("kind", type=click.Choice(["model", "dataset", "extractor", "metric"]))
@click.argument("name")
@key_values("Option of the plugin.")
@click.option(
    "--data",
    multiple=True,
    metavar="DATASET",
    help="Data set for the checks [digits, points-ring].",
)
@json_option
@common
def check(
    kind: str,
    name: str,
    options: dict[str, Any],
    data: tuple[str, ...],
    as_json: bool,
    plugins: tuple[Path, ...],
    data_dir: Path,
) -> int:
    """Try what a plugin promises, one promise after the other.

    Exit status 1 if one fails, 2 if none could be tried.
    """
    from genbench.api.errors import UsageError
    from genbench.cli.printing import echo, echo_json
    from genbench.testing import check as checks_of
    from genbench.testing import undeclared
    from genbench.testing.checks import FAILED, untried

    checks = checks_of(kind, name, options=options, data=data, plugins=plugins, data_dir=data_dir)
    if as_json:
        rows = [
            {"promise": c.promise, "data": c.about or None, "status": c.result.status}
            | {"reason": c.result.reason or None}
            for c in checks
        ]
        echo_json(rows, indent=None)
    else:
        _print(checks)
    for file in undeclared(kind, name, data_dir=data_dir):
        echo(
            f"warning: it reads {file}, which no identity holds: list it in GENBENCH_FILES",
            err=True,
        )
    if (reason := untried(checks)) is not None:
        raise UsageError(f"{kind} {name!r} could not be checked: {reason}")
    return int(any(c.result.status == FAILED for c in checks))


def _print(checks: Sequence[Check]) -> None:
    """One line for each check, as soon as it has ended. A reason that several share is printed
    once; what the plugin does not offer, in one line at the end."""
    from genbench.cli.printing import echo
    from genbench.testing.checks import FAILED, NOT_OFFERED, PASSED, SKIPPED

    about = said = ""
    absent: dict[str, None] = {}
    for check in checks:
        result = check.result
        if result.status == NOT_OFFERED:
            absent[result.reason] = None
            continue
        if check.about != about:
            about = check.about
            echo(about)
        status = result.status.upper() if result.status == FAILED else result.status
        reason = f": {result.reason}" if result.reason not in ("", said) else ""
        said = result.reason
        echo(f"  {status:<7}  {check.promise}{reason}")
    if absent:
        echo(f"not offered: {', '.join(absent)}")
    counts = [
        f"{sum(c.result.status == status for c in checks)} {status}"
        for status in (PASSED, FAILED, SKIPPED)
    ]
    echo(", ".join(counts))
