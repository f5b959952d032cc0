"""``genbench evaluate``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from genbench.cli.options import SEED, Form, computing, format_option, key_values, names


@click.command()
@click.argument("samples")
@click.option("--against", "reference", required=True, metavar="REFERENCE")
@click.option("--train", metavar="DATA", help="The generator's training set.")
@click.option("--extractor", default="inception", show_default=True)
@key_values("Option of the extractor.")
@click.option("--metrics", metavar="A,B", help="Scores to compute, or all [nine common ones].")
@click.option("--seed", type=SEED, default=0, show_default=True)
@format_option
@computing
def evaluate(
    options: dict[str, Any],
    metrics: str | None,
    form: Form,
    where: dict[str, Any],
    **given: Any,
) -> int:
    """Score SAMPLES: a file, a folder of pictures, or dataset:split.

    Exit status 1 if a metric failed, 2 if nothing could be scored.
    """
    from genbench.analysis.scores import document
    from genbench.cli.printing import show
    from genbench.experiment.scoring import evaluate as score
    from genbench.rendering.progress import waiting

    if metrics is not None:
        given["metrics"] = metrics if metrics == "all" else names(metrics) or [metrics]
    with waiting() as report:
        scores = score(**given, extractor_options=options, report=report, **where)
    values, outputs = scores.values, scores.outputs
    skipped, protocol = scores.skipped, scores.protocol
    shown = document(values, outputs, skipped, protocol, scores.notes, asdict(scores))
    show(shown, form)
    if scores.faults:
        return 1
    return 0 if scores.values else 2
