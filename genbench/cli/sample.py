"""``genbench sample``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from genbench.api.errors import UsageError
from genbench.cli.options import COUNT, FOLDER, SEED, computing, key_values, precision_option


@click.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--count", type=COUNT, help="Number of samples [64, or one for each prompt].")
@click.option(
    "--prompt", "typed", multiple=True, metavar="VALUE", help="What to ask the model for."
)
@click.option("--prompts", "file", type=FOLDER, metavar="FILE", help="A file of prompts.")
@click.option("--each", type=COUNT, help="Samples for each prompt [1].")
@key_values("A sampling option.")
@click.option("--seed", type=SEED, help="Seed [that of the training].")
@click.option("--weights", type=click.Choice(["ema", "raw"]), default="ema", show_default=True)
@click.option("--out", type=FOLDER, required=True, help="An .npz file.")
@precision_option
@computing
def sample(
    out: Path, typed: tuple[str, ...], file: Path | None, where: dict[str, Any], **given: Any
) -> None:
    """Draw samples from the training in DIR."""
    from genbench.cli.printing import say
    from genbench.experiment.single import sample as draw

    if typed and file is not None:
        raise UsageError("--prompt and --prompts: give one of them")
    samples, cost = draw(**given, out=out, prompts=file or typed or None, **where)
    how = "imported" if cost["nfe"] is None else f"{cost['nfe']:g} network evaluations each"
    say(f"{out}: {len(samples)} samples, {how}")
