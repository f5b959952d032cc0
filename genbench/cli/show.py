"""``genbench show``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from genbench.cli.options import FOLDER, computing, key_values, precision_option


@click.command()
@click.argument("which", type=click.Choice(["forward", "reverse"]))
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--count", type=click.IntRange(1, 64), help="Samples [8; of points 64, of sounds 4].")
@key_values("A sampling option.")
@click.option("--out", type=FOLDER, required=True, help="A .png, .gif or, of sounds, .wav file.")
@precision_option
@computing
def show(out: Path, where: dict[str, Any], **given: Any) -> None:
    """Show how data become noise, or noise samples, by the training in DIR.

    A .png is a strip, a row a sample; a .gif is an animation; a .wav is the frames of the strip as
    they sound, one after the other. A model without a path from noise to samples, as a GAN, is
    shown along a walk through its noise.
    """
    from genbench.cli.printing import say
    from genbench.experiment.single import show as write

    write(**given, out=out, **where)
    say(f"{out} written")
