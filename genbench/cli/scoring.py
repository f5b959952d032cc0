"""``genbench evaluate``: the scores of anybody's samples."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from genbench import evaluation
from genbench.evaluation import Scores
from genbench.executors.launch import company, on_ranks
from genbench.ranks import Ranks
from genbench.runner import Host
from genbench.types import Report


def evaluate(
    samples: str,
    reference: str,
    train: str | None,
    extractor: str,
    metrics: str | None,
    seed: int,
    host: Host,
    plugins: Sequence[Path],
) -> Scores | None:
    """The scores, with their protocol; ``None`` in a process that only helps to compute them."""
    names = [name.strip() for name in metrics.split(",")] if metrics else None
    with company(host) as leads:
        if not leads:
            return None
        outputs = names or evaluation.DEFAULT_METRICS
        request = (samples, reference, train, extractor, tuple(outputs), seed, str(host.data_dir))
        return on_ranks(host, "32-true", _score, request, plugins=plugins)


def _score(ranks: Ranks, request: tuple[Any, ...], report: Report) -> Scores:
    samples, reference, train, extractor, outputs, seed, data_dir = request
    return evaluation.evaluate(
        samples,
        reference,
        train=train,
        extractor=extractor,
        metrics=outputs,
        seed=seed,
        data_dir=data_dir,
        device=str(ranks.fabric.device),
        ranks=ranks,
    )


def show(scores: Scores, as_json: bool) -> None:
    """Print the scores and, with them, their protocol."""
    if as_json:
        click.echo(json.dumps(asdict(scores), ensure_ascii=False))
    else:
        _show(scores)


def _show(scores: Scores) -> None:
    console = Console()
    table = Table("metric", "", "value", box=None, pad_edge=False)
    for name, estimate in scores.values.items():
        table.add_row(name, "↑" if scores.better[name] else "↓", f"{estimate.value:.6g}")
    for name, reason in scores.skipped.items():
        table.add_row(name, "", f"skipped: {reason}")
    console.print(table)
    console.print("\nprotocol", style="bold")
    for key, value in scores.protocol.items():
        console.print(f"  {key}: {value}", highlight=False, markup=False, soft_wrap=True)
