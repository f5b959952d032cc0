"""``genbench evaluate``: the scores of anybody's samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from genbench import evaluation, rendering
from genbench.analysis.scores import document
from genbench.api import ProgressCallback
from genbench.cli.screen import waiting
from genbench.cli.single import parse_options
from genbench.devices.hardware import Hardware
from genbench.devices.launch import launched_ranks, on_ranks
from genbench.devices.ranks import Ranks
from genbench.evaluation import Scores


def evaluate(
    samples: str,
    reference: str,
    train: str | None,
    extractor: str,
    options: Sequence[str],
    metrics: str | None,
    seed: int,
    hardware: Hardware,
    plugins: Sequence[Path],
) -> Scores | None:
    """The scores, with their protocol; ``None`` in a process that only helps to compute them."""
    outputs: Sequence[str] = evaluation.DEFAULT_METRICS
    if metrics == "all":
        outputs = evaluation.every_output()
    elif metrics is not None:
        outputs = [name.strip() for name in metrics.split(",")]
    request = Request(
        samples, reference, train, extractor, parse_options(options), tuple(outputs), seed
    )
    with launched_ranks(hardware) as leads, waiting() as report:
        if not leads:
            return None
        data_dir = str(hardware.data_dir)
        return on_ranks(
            hardware, "32-true", _score, request, data_dir, plugins=plugins, report=report
        )


@dataclass(frozen=True)
class Request:
    """What is to be scored, and how."""

    samples: str
    reference: str
    train: str | None
    extractor: str
    options: Mapping[str, Any]
    outputs: tuple[str, ...]
    seed: int


def _score(ranks: Ranks, request: Request, data_dir: str, report: ProgressCallback) -> Scores:
    return evaluation.evaluate(
        request.samples,
        request.reference,
        train=request.train,
        extractor=request.extractor,
        extractor_options=request.options,
        metrics=request.outputs,
        seed=request.seed,
        data_dir=data_dir,
        device=str(ranks.fabric.device),
        ranks=ranks,
        report=report,
    )


def show(scores: Scores, as_json: bool) -> int:
    """Print the scores and, with them, their protocol. Returns the exit status: 1 where a metric
    failed by a fault, 2 where nothing that was asked for could be scored."""
    found = document(scores.values, scores.outputs, scores.skipped, scores.protocol, asdict(scores))
    if as_json:
        click.echo(rendering.render(found, "json"), nl=False)
    else:
        rendering.show(found)
    if scores.faults:
        return 1
    return 0 if scores.values else 2
