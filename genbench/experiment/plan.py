"""``genbench.plan``: what a run would do, and about what it would cost here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from genbench.analysis.cells import amount
from genbench.api.errors import PLUGIN_EXCEPTIONS, one_line
from genbench.devices.hardware import DeviceOptions, Hardware
from genbench.devices.launch import default_workers
from genbench.experiment.estimate import SamplingCost, TrainingCost, sampling_cost, training_cost
from genbench.experiment.run import resolved
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

    def lines(self) -> Iterator[str]:
        """The plan to read."""
        suite = self.suite
        yield f"{suite.title or suite.name}: {suite.dataset}, {suite.samples:,} samples an entry"
        for planned in self.trainings:
            yield from self._training_lines(planned)
        entries = sum(len(planned.entries) for planned in self.trainings)
        runs = f"{len(self.trainings)} trainings, {entries} entries to score"
        if self.seconds is None:
            yield f"{runs}; the time could not be estimated for all of them"
            return
        yield (
            f"{runs}; about {_duration(self.seconds)} on this {self.device}, {self.workers} at a "
            "time, without the scoring"
        )

    def _training_lines(self, planned: PlannedTraining) -> Iterator[str]:
        first = planned.entries[0]
        what = f"train {first.training.label}"
        budget = f"{what}: {first.training.steps * first.training.batch:,} examples"
        cost = planned.training
        if cost is None:
            if first.fault is not None:
                yield f"{what}: {first.fault}"
            else:
                yield f"{budget}; cost unknown: {planned.unknown}"
            for entry in planned.entries:
                yield f"  {entry.name}: sample {_options(entry)}"
            return
        yield (
            f"{budget}, {amount(cost.parameters, 'count')} parameters, "
            f"{amount(cost.flops, 'count')} FLOPs, about {_duration(cost.seconds)}"
        )
        for entry, each in zip(planned.entries, planned.samplings, strict=True):
            yield (
                f"  {entry.name}: sample {_options(entry)}, {each.nfe:g} network evaluations and "
                f"{amount(each.flops, 'count')} FLOPs a sample, about "
                f"{_duration(self.suite.samples * each.seconds)}"
            )

    def __repr__(self) -> str:
        return "\n".join(self.lines())


def plan(
    suite: str | Path | Suite,
    *,
    jobs: int | None = None,
    devices: int | DeviceOptions = 1,
    data_dir: str | Path = "data",
    **given: object,
) -> Plan:
    """The trainings with their parameters and FLOPs, the entries with their network evaluations,
    and an estimate of the time, from a few real steps on this machine. Nothing is written.

    ``given``: ``seeds``, ``examples`` and ``precision``, as ``run`` takes them. Raises
    ``UsageError``.
    """
    content = resolved(suite, **given)  # type: ignore[arg-type] # checked there
    hardware = DeviceOptions.of(devices).hardware(Path(data_dir))
    known: dict[str, PlannedTraining] = {}
    planned = []
    groups = trainings(content)
    for group in groups:
        key = fingerprint([[repr(replace(e.training, seed=0)), repr(e.sample)] for e in group])
        if key not in known:
            known[key] = _planned(hardware, group)
        planned.append(replace(known[key], entries=group))
    threads = max(group[0].training.threads for group in groups)
    workers = min(jobs or default_workers(hardware, threads), len(groups))
    return Plan(content, planned, hardware.device_name, workers)


def _planned(hardware: Hardware, group: Sequence[SeededEntry]) -> PlannedTraining:
    first = group[0]
    if first.fault is not None:
        return PlannedTraining(group, None, (), None, first.fault)
    try:
        cheap = next((e for e in group if e.snapshot_sample), first)
        return PlannedTraining(
            group,
            training_cost(hardware, first.training),
            [sampling_cost(hardware, entry) for entry in group],
            sampling_cost(hardware, replace(first, sample=cheap.snapshot_sample or first.sample)),
        )
    except PLUGIN_EXCEPTIONS as error:
        return PlannedTraining(group, None, (), None, one_line(error))


def _options(entry: SeededEntry) -> str:
    options = ", ".join(f"{name} {value}" for name, value in entry.sample.items())
    return options or "as the model does"


def _duration(seconds: float) -> str:
    for size, word in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.2g} {word}" if size > 60 else f"{seconds / size:.0f} {word}"
    return f"{seconds:.0f} s"
