"""``genbench run --dry-run``: what would run, and about what it would cost here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from genbench import rendering, suite
from genbench.analysis.plan import PlannedEntry, PlannedTraining, document
from genbench.api.errors import PLUGIN_EXCEPTIONS, one_line
from genbench.devices.hardware import Hardware
from genbench.executors.local import default_workers
from genbench.experiment import sampling_cost, training_cost
from genbench.store import fingerprint
from genbench.suite import SeededEntry, Suite
from genbench.training.checkpoint import WEIGHTS


def show_plan(
    content: Suite, seeds: Sequence[int] | None, hardware: Hardware, jobs: int | None
) -> None:
    """Print the trainings with their parameters and FLOPs, the entries with their network
    evaluations, and an estimate of the time on ``hardware``. Nothing is written."""
    groups = suite.trainings(content, seeds)
    known: dict[str, PlannedTraining] = {}
    planned = []
    for group in groups:
        key = fingerprint([[repr(replace(e.training, seed=0)), repr(e.sample)] for e in group])
        if key not in known:
            known[key] = _planned(content, hardware, group)
        planned.append(replace(known[key], label=group[0].training.label))
    threads = max(group[0].training.threads for group in groups)
    workers = min(jobs or default_workers(hardware, threads), len(groups))
    title = f"{content.title}: {content.dataset}, {content.samples:,} samples an entry"
    rendering.show(document(title, planned, hardware.device_name, workers))


def _planned(content: Suite, hardware: Hardware, group: Sequence[SeededEntry]) -> PlannedTraining:
    """One training with its costs, or with the reason why they are not known."""
    first = group[0]
    training = first.training
    plan = PlannedTraining(
        training.label,
        training.steps * training.batch,
        tuple(PlannedEntry(entry.name, _options(entry)) for entry in group),
        unknown=first.fault or "",
    )
    if first.fault is not None:
        return plan
    try:
        cheap = next((e.snapshot_sample for e in group if e.snapshot_sample), first.sample)
        cost = training_cost(hardware, training)
        costs = [sampling_cost(hardware, entry) for entry in group]
        along = sampling_cost(hardware, replace(first, sample=cheap))
    except PLUGIN_EXCEPTIONS as error:
        return replace(plan, unknown=one_line(error))
    snapshots = content.score.snapshots
    return replace(
        plan,
        parameters=cost.parameters,
        flops=cost.flops,
        seconds=cost.seconds,
        snapshot_seconds=len(WEIGHTS) * snapshots.count * snapshots.samples * along.seconds,
        entries=tuple(
            replace(
                entry,
                nfe=each.nfe,
                flops=each.flops,
                seconds=content.samples * each.seconds,
            )
            for entry, each in zip(plan.entries, costs, strict=True)
        ),
    )


def _options(entry: SeededEntry) -> str:
    return ", ".join(f"{name} {value}" for name, value in entry.sample.items())
