"""The real row: the baseline of every column."""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path

import torch

from genbench import evaluation, store
from genbench.api import REAL, ProgressCallback, ProgressEvent, Samples, TensorSamples
from genbench.api.errors import one_line
from genbench.api.seeding import generator
from genbench.devices.ranks import Fault, Ranks, attempt
from genbench.experiment.context import RunContext, open_cached
from genbench.experiment.repair import keep_traceback, repair
from genbench.experiment.shown import neighbours
from genbench.experiment.stage_table import REAL_RECORD, REAL_SAMPLES
from genbench.experiment.stages import scored
from genbench.io.arrays import pack_samples
from genbench.store.records import Record, ScoreValue, checked

REAL_DRAWS = 20
"""The real row is a mean over that many random draws."""

SHOWN = 400
"""Reference samples kept to be shown beside the generated ones."""


def run_real(
    ranks: Ranks, context: RunContext, dataset: str, report: ProgressCallback
) -> list[Record]:
    """The real row: samples of the training set scored as if generated, at the entries' own count.

    The mean over 20 random draws, with their standard deviation; a score that one of the draws
    does not have is skipped, with the reason. Where a metric looks at the training set
    (memorization), samples of the reference stand in, since a training sample is its own nearest
    neighbour.
    """
    base = real_base(context, dataset)
    measured = attempt(ranks, lambda: _measured(ranks, context, base, report))
    if isinstance(measured, Fault):
        error = measured.error
        ranks.on_rank_zero(lambda: keep_traceback(real_folder(context), error))
        measured = replace(base, status="failed", reason=one_line(error))
    return [measured]


def real_base(context: RunContext, dataset: str) -> Record:
    """The real row before it is scored."""
    return Record(
        suite=context.name,
        entry=REAL,
        model=REAL,
        trains=None,
        dataset=dataset,
        seed=None,
        status="done",
        protocol=context.protocol(dataset),
    )


def _measured(ranks: Ranks, context: RunContext, base: Record, report: ProgressCallback) -> Record:
    scorer = context.scorer(base.dataset, ranks)
    train = scorer.train
    assert train is not None
    outputs = context.score.metrics
    declared = {
        name: output
        for metric in evaluation.resolve(outputs, scorer.seed).values()
        for name, output in metric.outputs.items()
    }
    reference = open_cached(context.score.reference, context.hardware.data_dir)
    smallest = min(len(train), len(reference))
    if context.samples > smallest:
        reason = f"{context.samples} samples are asked for; the data set has {smallest} a side"
        return replace(base, status="skipped", reason=reason)
    folder = real_folder(context)
    inputs = {"context": context.inputs(base.dataset)}
    identity = REAL_RECORD.identity(inputs)

    def compute() -> Record:
        draws: dict[str, list[float]] = {}
        skipped: dict[str, str] = {}
        faults: list[str] = []
        for number in range(REAL_DRAWS):
            report(ProgressEvent("score", number, REAL_DRAWS))
            for side, source in (("train", train), ("reference", reference)):
                chosen = [name for name in outputs if declared[name].floor == side]
                if not chosen:
                    continue
                subset = random_subset(source, context.samples, number)
                _, scores = scored(ranks, scorer, folder, subset, chosen)
                for name, estimate in scores.values.items():
                    draws.setdefault(name, []).append(estimate.value)
                skipped |= scores.skipped
                faults += [name for name in scores.faults if name not in faults]
        scored_by_all = [name for name in outputs if name in draws and name not in skipped]
        shown = _shown(ranks, folder, reference)
        beside = neighbours(ranks, scorer, folder, identity, reference)
        record = replace(
            base,
            scores={name: _spread(draws[name]) for name in scored_by_all},
            outputs={name: declared[name] for name in scored_by_all},
            skipped_metrics=skipped,
            faults=faults,
            files={"samples": str(shown.relative_to(context.out))}
            | ({} if beside is None else {"neighbours": str(beside.relative_to(context.out))}),
        )
        return checked(record)

    return replace(REAL_RECORD.once(ranks, folder, inputs, compute).value, suite=context.name)


def _shown(ranks: Ranks, folder: Path, reference: Samples) -> Path:
    """The file of the samples that are shown."""
    inputs = {"reference": reference.id, "count": SHOWN}

    def compute() -> store.Contents:
        shown = reference.take(torch.arange(min(SHOWN, len(reference))))
        return pack_samples(TensorSamples(reference.spec, reference.id, shown.data)), {}

    return REAL_SAMPLES.once(ranks, folder, inputs, compute).path


def finished_real(context: RunContext, dataset: str) -> list[Record] | None:
    """The real row, where it has been computed, or ``None``."""
    record = REAL_RECORD.find(real_folder(context), {"context": context.inputs(dataset)})
    return None if record is None else [replace(record, suite=context.name)]


def repair_real(context: RunContext, report: ProgressCallback) -> None:
    """``repair`` for the folder of the real row."""
    repair(real_folder(context), None, report)


def real_folder(context: RunContext) -> Path:
    """Where the real row lies, and those of controls and codecs."""
    return context.out / "runs" / REAL


def random_subset(source: Samples, count: int, number: int) -> TensorSamples:
    """``count`` random samples of ``source``: others for each ``number``."""
    chosen = torch.randperm(len(source), generator=generator(0, "real", number))[:count]
    batch = source.take(chosen)
    identity = f"{source.id}[{count} drawn, {number}]"
    return TensorSamples(source.spec, identity, batch.data, batch.condition, batch.texts)


def _spread(values: list[float]) -> ScoreValue:
    return ScoreValue(
        value=statistics.fmean(values), low=None, high=None, deviation=statistics.stdev(values)
    )
