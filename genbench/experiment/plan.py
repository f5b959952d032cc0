"""``genbench.plan``: what a run would do, and about what it would cost here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

from genbench import registry
from genbench.analysis.document import Document
from genbench.analysis.plan import EntryRow, TrainingRow, document
from genbench.api.errors import one_line
from genbench.devices.hardware import Hardware
from genbench.devices.launch import default_workers
from genbench.experiment.estimate import SamplingCost, TrainingCost, sampling_cost, training_cost
from genbench.experiment.prepare import PrepareOptions, prepared, require_sound
from genbench.experiment.stages import snapshot_options
from genbench.rendering import render
from genbench.store import fingerprint
from genbench.suite import SeededEntry, Suite, trainings
from genbench.training.checkpoint import WEIGHTS


@dataclass(frozen=True)
class PlannedTraining:
    """One training with the entries that sample it."""

    entries: Sequence[SeededEntry]
    training: TrainingCost | None
    """``None`` where the cost is not known."""
    samplings: Sequence[SamplingCost]
    """A sample of each of ``entries``."""
    snapshots: SamplingCost | None
    unknown: str = ""
    """Why the cost is not known."""


@dataclass(frozen=True)
class Plan:
    """What a run of ``suite`` would do. Nothing is written."""

    suite: Suite
    trainings: Sequence[PlannedTraining]
    device: str
    workers: int
    """Trainings at a time."""

    @property
    def seconds(self) -> float | None:
        """Of the whole run without the scoring; ``None`` where a cost is not known."""
        parts = [self._seconds(planned) for planned in self.trainings]
        known = [part for part in parts if part is not None]
        return sum(known) / self.workers if len(known) == len(parts) else None

    def _seconds(self, planned: PlannedTraining) -> float | None:
        if planned.training is None or planned.snapshots is None:
            return None
        snapshots = self.suite.score.snapshots
        points = len(WEIGHTS) * snapshots.count * snapshots.samples
        drawn = sum(self.suite.samples * each.seconds for each in planned.samplings)
        return planned.training.seconds + points * planned.snapshots.seconds + drawn

    def document(self) -> Document:
        """The plan to read."""
        suite = self.suite
        title = f"{suite.title or suite.name}: {suite.dataset}, {suite.samples:,} samples an entry"
        return document(title, list(map(self._row, self.trainings)), self.device, self.workers)

    def _row(self, planned: PlannedTraining) -> TrainingRow:
        training = planned.entries[0].training
        row = TrainingRow(
            training.label,
            training.steps * training.batch,
            tuple(EntryRow(entry.name, _options(entry)) for entry in planned.entries),
            unknown=planned.unknown,
        )
        if planned.training is None:
            return row
        return replace(
            row,
            parameters=planned.training.parameters,
            flops=planned.training.flops,
            seconds=planned.training.seconds,
            total=self._seconds(planned),
            entries=tuple(
                EntryRow(
                    entry.name,
                    entry.options,
                    each.parameters,
                    each.nfe,
                    each.flops,
                    self.suite.samples * each.seconds,
                )
                for entry, each in zip(row.entries, planned.samplings, strict=True)
            ),
        )

    def __repr__(self) -> str:
        return render(self.document(), "terminal")


def plan(
    suite: str | Path | Suite,
    out: str | Path | None = None,
    *,
    jobs: int | None = None,
    **options: Unpack[PrepareOptions],
) -> Plan:
    """The trainings with their parameters and FLOPs, the entries with their network evaluations,
    and an estimate of the time, from a few real steps on this machine. Nothing is written.

    All as ``run`` takes it. Raises ``UsageError`` for whatever ``run`` would refuse.
    """
    context, content, _ = prepared(suite, out, **options)
    with registry.kept_surroundings():
        groups = trainings(content)
        sound = [group for group in groups if group[0].fault is None]
        if sound:
            require_sound(context, content, sound)
        return estimated(content, groups, context.hardware, jobs)


def estimated(
    suite: Suite, groups: Sequence[Sequence[SeededEntry]], hardware: Hardware, jobs: int | None
) -> Plan:
    """The plan of some trainings of ``suite``, each a group of entries that sample it, ``jobs`` at
    a time."""
    known: dict[str, PlannedTraining] = {}
    planned = []
    for group in groups:
        key = fingerprint([[repr(replace(e.training, seed=0)), repr(e.sample)] for e in group])
        if key not in known:
            known[key] = _planned(hardware, group)
        planned.append(replace(known[key], entries=group))
    threads = max(group[0].training.threads for group in groups)
    workers = min(jobs or default_workers(hardware, threads), len(groups))
    return Plan(suite, planned, hardware.device_name, workers)


def _planned(hardware: Hardware, group: Sequence[SeededEntry]) -> PlannedTraining:
    first = group[0]
    if first.fault is not None:
        return PlannedTraining(group, None, (), None, first.fault)
    try:
        return PlannedTraining(
            group,
            training_cost(hardware, first.training),
            [sampling_cost(hardware, entry) for entry in group],
            sampling_cost(hardware, replace(first, sample=snapshot_options(group))),
        )
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return PlannedTraining(group, None, (), None, one_line(error))


def _options(entry: SeededEntry) -> str:
    return ", ".join(f"{name} {value}" for name, value in entry.sample.items())
