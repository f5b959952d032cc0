"""``genbench sample``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from genbench.cli.options import COUNT, FOLDER, SEED, computing, key_values, precision_option


@click.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--count", type=COUNT, default=64, show_default=True)
@key_values("A sampling option.")
@click.option("--seed", type=SEED, help="Seed [that of the training].")
@click.option("--weights", type=click.Choice(["ema", "raw"]), default="ema", show_default=True)
@click.option("--out", type=FOLDER, required=True, help="An .npz file.")
@precision_option
@computing
def sample(out: Path, count: int, where: dict[str, Any], **given: Any) -> None:
    """Draw samples from the training in DIR."""
    from genbench.cli.printing import say
    from genbench.experiment.single import sample as draw

    _, cost = draw(**given, out=out, count=count, **where)
    say(f"{out}: {count} samples, {cost['nfe']:g} network evaluations each")
