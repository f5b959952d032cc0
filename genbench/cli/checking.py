"""``genbench check``: every promise of a plugin, and whether it is kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from genbench.api.errors import UsageError
from genbench.cli.single import parse_options
from genbench.testing import (
    Check,
    dataset_checks,
    extractor_checks,
    metric_checks,
    model_checks,
)
from genbench.testing.checks import DATA, FAILED, SKIPPED


def check(
    kind: str,
    name: str,
    options: Sequence[str],
    data: Sequence[str],
    as_json: bool,
    data_dir: Path,
) -> int:
    """Print what becomes of each promise; 1 where one is broken. Raises ``UsageError`` where none
    could be tried."""
    checks = _checks(kind, name, options, data, data_dir)
    if as_json:
        rows = [
            {"promise": c.promise, "data": c.about or None, "status": c.result.status}
            | {"reason": c.result.reason or None}
            for c in checks
        ]
        click.echo(json.dumps(rows, ensure_ascii=False))
    else:
        _show(checks)
    if all(c.result.status == SKIPPED for c in checks):
        raise UsageError(f"{kind} {name!r} could not be checked: {checks[0].result.reason}")
    return int(any(c.result.status == FAILED for c in checks))


def _checks(
    kind: str, name: str, options: Sequence[str], data: Sequence[str], data_dir: Path
) -> list[Check]:
    chosen = parse_options(options)
    if data and kind not in ("model", "extractor"):
        raise UsageError(f"--data is for models and extractors, not for a {kind}")
    if kind == "model":
        return model_checks(name, options=chosen, data=data or DATA, data_dir=data_dir)
    if kind == "extractor":
        return extractor_checks(name, options=chosen, data=data or DATA, data_dir=data_dir)
    if kind == "metric":
        return metric_checks(name, options=chosen)
    if chosen:
        raise UsageError("--option: a dataset has no options; write NAME:ARGUMENT")
    dataset, _, argument = name.partition(":")
    return dataset_checks(dataset, argument, data_dir=data_dir)


def _show(checks: Sequence[Check]) -> None:
    """A line each, as soon as it is known; a reason that several share is said once."""
    about = said = ""
    for check in checks:
        result = check.result
        if check.about != about:
            about = check.about
            click.echo(about)
        status = result.status.upper() if result.status == FAILED else result.status
        reason = f": {result.reason}" if result.reason not in ("", said) else ""
        said = result.reason
        click.echo(f"  {status:<7}  {check.promise}{reason}")
    counts = [
        f"{sum(c.result.status == status for c in checks)} {status}"
        for status in ("passed", FAILED, SKIPPED)
    ]
    click.echo(", ".join(counts))
