"""``genbench doctor``."""

from __future__ import annotations

from pathlib import Path

import click

from genbench.cli.options import common


@click.command()
@common
def doctor(plugins: tuple[Path, ...], data_dir: Path) -> int:
    """Show what is installed, what is wrong, and how to repair it."""
    from genbench.cli.printing import echo
    from genbench.experiment.doctor import doctor as look

    findings = look(data_dir, plugins=plugins)
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        mark = "ok " if finding.fix is None else "BAD"
        echo(f"{mark}  {finding.what:<{width}}  {finding.value}")
        if finding.fix is not None:
            echo(f"     {'':<{width}}  fix: {finding.fix}")
    return int(any(finding.fix is not None for finding in findings))
