"""The command line: one file a command, named as the command.

A command parses, calls the Python API, and prints. It imports what it needs when it runs, so that
``--help`` is quick.
"""

from __future__ import annotations

import click

from genbench.cli.cache import cache
from genbench.cli.check import check
from genbench.cli.compare import compare
from genbench.cli.doctor import doctor
from genbench.cli.evaluate import evaluate
from genbench.cli.group import Group
from genbench.cli.init import init
from genbench.cli.job import job
from genbench.cli.leaderboard import leaderboard
from genbench.cli.list import list_
from genbench.cli.plot import plot
from genbench.cli.report import report
from genbench.cli.reproduce import reproduce
from genbench.cli.run import run
from genbench.cli.sample import sample
from genbench.cli.schema import schema
from genbench.cli.sensitivity import sensitivity
from genbench.cli.show import show
from genbench.cli.stability import stability
from genbench.cli.table import table
from genbench.cli.train import train
from genbench.cli.verdict import verdict

COMMANDS = (
    *(run, sensitivity, reproduce, train, sample, evaluate, show),
    *(table, report, plot, verdict, leaderboard, compare, stability),
    *(init, doctor, cache, check, schema, list_),
    job,
)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="genbench")
def main() -> None:
    """Generative models on equal footing: fidelity, diversity, training stability and cost."""


for command in COMMANDS:
    main.add_command(command)
