"""The command line. A command imports what it needs when it runs, so that --help is quick."""

from __future__ import annotations

import click

from genbench.cli.commands import compute, inform, judge
from genbench.cli.group import Group
from genbench.cli.init import init


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="genbench")
def main() -> None:
    """Generative models on equal footing: fidelity, diversity, training stability and cost."""


for command in (
    compute.run,
    compute.sensitivity,
    compute.reproduce,
    compute.train,
    compute.sample,
    compute.evaluate,
    compute.show,
    judge.table,
    judge.report,
    judge.verdict,
    judge.leaderboard,
    judge.compare,
    judge.stability,
    init,
    inform.doctor,
    inform.check,
    inform.schema,
    inform.list_,
):
    main.add_command(command)
