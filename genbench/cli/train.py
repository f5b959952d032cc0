"""``genbench train``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from genbench.cli.options import COUNT, FOLDER, SEED, key_values, training


@click.command()
@click.argument("what", metavar="SUITE:ENTRY|MODEL")
@click.argument("dataset", required=False)
@key_values("A model option.")
@click.option("--examples", type=COUNT, help="Budget in examples seen.")
@click.option("--seed", type=SEED, help="Seed of the training.")
@click.option("--out", type=FOLDER, required=True, help="Run folder.")
@training
def train(out: Path, where: dict[str, Any], **given: Any) -> None:
    """Train one entry of a suite, or one MODEL on one DATASET."""
    from genbench.cli.printing import say
    from genbench.experiment.single import train as train_one

    outcome = train_one(**given, out=out, **where)
    say(
        f"{outcome.status} after {outcome.examples} examples in {outcome.seconds:.0f} s; "
        f"sample it with: genbench sample {out} --out samples.npz"
    )
