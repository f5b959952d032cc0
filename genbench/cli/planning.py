"""``genbench run --dry-run``: what would run, and about what it would cost here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import click

from genbench import suite
from genbench.analysis.cells import amount
from genbench.api.errors import PLUGIN_EXCEPTIONS, one_line
from genbench.devices.hardware import Hardware
from genbench.executors.local import default_workers
from genbench.experiment import SamplingCost, TrainingCost, sampling_cost, training_cost
from genbench.store import fingerprint
from genbench.suite import SeededEntry, Suite
from genbench.training.checkpoint import WEIGHTS


@dataclass(frozen=True)
class _Costs:
    """Of one training and of a sample of each of its entries; or why they are not known."""

    training: TrainingCost | None = None
    entries: Sequence[SamplingCost] = ()
    snapshots: SamplingCost | None = None
    unknown: str = ""


def show_plan(
    content: Suite, seeds: Sequence[int] | None, hardware: Hardware, jobs: int | None
) -> None:
    """Print the trainings with their parameters and FLOPs, the entries with their network
    evaluations, and an estimate of the time on ``hardware``. Nothing is written."""
    click.echo(f"{content.title}: {content.dataset}, {content.samples:,} samples an entry")
    groups = suite.trainings(content, seeds)
    known: dict[str, _Costs] = {}
    seconds: float | None = 0.0
    for group in groups:
        key = fingerprint([[repr(replace(e.training, seed=0)), repr(e.sample)] for e in group])
        if key not in known:
            known[key] = _costs(hardware, group)
        costs = known[key]
        seconds = _printed(content, group, costs, seconds)
    runs = f"{len(groups)} trainings, {sum(map(len, groups))} entries to score"
    if seconds is None:
        click.echo(f"{runs}; the time could not be estimated for all of them")
        return
    threads = max(group[0].training.threads for group in groups)
    workers = min(jobs or default_workers(hardware, threads), len(groups))
    click.echo(
        f"{runs}; about {_duration(seconds / workers)} on this {hardware.device_name}, {workers} "
        "at a time, without the scoring"
    )


def _costs(hardware: Hardware, group: Sequence[SeededEntry]) -> _Costs:
    first = group[0]
    if first.fault is not None:
        return _Costs(unknown=first.fault)
    try:
        cheap = next((e for e in group if e.snapshot_sample), first)
        return _Costs(
            training_cost(hardware, first.training),
            [sampling_cost(hardware, entry) for entry in group],
            sampling_cost(hardware, replace(first, sample=cheap.snapshot_sample or first.sample)),
        )
    except PLUGIN_EXCEPTIONS as error:
        return _Costs(unknown=one_line(error))


def _printed(
    content: Suite, group: Sequence[SeededEntry], costs: _Costs, seconds: float | None
) -> float | None:
    """Print one training; the sum of ``seconds`` and its own."""
    training = group[0].training
    what = f"train {training.label}"
    budget = f"{what}: {training.steps * training.batch:,} examples"
    if costs.training is None or costs.snapshots is None:
        fault = group[0].fault
        click.echo(
            f"{budget}; cost unknown: {costs.unknown}" if fault is None else f"{what}: {fault}"
        )
        for entry in group:
            click.echo(f"  {entry.name}: sample {_options(entry)}")
        return None
    cost = costs.training
    click.echo(
        f"{budget}, {amount(cost.parameters, 'count')} parameters, "
        f"{amount(cost.flops, 'count')} FLOPs, "
        f"about {_duration(cost.seconds)}"
    )
    points = len(WEIGHTS) * content.score.snapshots.count * content.score.snapshots.samples
    total = cost.seconds + points * costs.snapshots.seconds
    for entry, each in zip(group, costs.entries, strict=True):
        drawing = content.samples * each.seconds
        total += drawing
        click.echo(
            f"  {entry.name}: sample {_options(entry)}, {each.nfe:g} network evaluations and "
            f"{amount(each.flops, 'count')} FLOPs a sample, about {_duration(drawing)}"
        )
    return None if seconds is None else seconds + total


def _options(entry: SeededEntry) -> str:
    options = ", ".join(f"{name} {value}" for name, value in entry.sample.items())
    return options or "as the model does"


def _duration(seconds: float) -> str:
    for size, word in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.2g} {word}" if size > 60 else f"{seconds / size:.0f} {word}"
    return f"{seconds:.0f} s"
