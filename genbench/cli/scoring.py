"""``genbench evaluate``: the scores of anybody's samples."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from genbench import evaluation
from genbench.evaluation import Scores
from genbench.runner import choose_device


def evaluate(
    samples: str,
    reference: str,
    train: str | None,
    extractor: str,
    metrics: str | None,
    seed: int,
    as_json: bool,
    device: str,
    data_dir: Path,
) -> None:
    """Print the scores and, with them, their protocol."""
    names = [name.strip() for name in metrics.split(",")] if metrics else None
    scores = evaluation.evaluate(
        samples,
        reference,
        train=train,
        extractor=extractor,
        metrics=names or evaluation.DEFAULT_METRICS,
        seed=seed,
        data_dir=data_dir,
        device=choose_device(device),
    )
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
