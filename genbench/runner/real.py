"""The real row: the floor of every column."""

from __future__ import annotations

import statistics
from dataclasses import asdict, replace
from pathlib import Path

import torch

from genbench import evaluation, storage
from genbench.errors import one_line
from genbench.evaluation import Scorer
from genbench.results import Record
from genbench.runner.bench import Bench
from genbench.runner.stages import pack_samples, read_or_none, scored
from genbench.seeding import generator
from genbench.types import REAL, Event, Report, Samples, TensorSamples

REAL_DRAWS = 20
"""The real row is a mean over that many random draws."""

SHOWN = 400
"""Reference samples kept to be shown beside the generated ones."""


def real_record(bench: Bench, dataset: str, report: Report) -> Record:
    """The floor: pictures of the training set scored as if generated, at the entries' own count.

    The mean over 20 random draws, with their standard deviation. Where a metric looks at the
    training set (memorization), pictures of the reference stand in, since a training picture is
    its own nearest neighbour.
    """
    scorer = bench.scorer(dataset)
    assert scorer.train is not None
    base = real_base(bench, dataset)
    try:
        return _measured(bench, scorer, scorer.train, base, report)
    except Exception as error:
        return replace(base, status="failed", reason=one_line(error))


def real_base(bench: Bench, dataset: str) -> Record:
    """The real row before it is scored."""
    return Record(
        suite=bench.name,
        entry=REAL,
        model=REAL,
        trains=None,
        dataset=dataset,
        seed=None,
        status="done",
        protocol=bench.scorer(dataset).protocol(bench.samples),
    )


def _measured(bench: Bench, scorer: Scorer, train: Samples, base: Record, report: Report) -> Record:
    outputs = bench.score.metrics
    looks = {
        output: "train" in metric.sides
        for metric in evaluation.resolve(outputs, scorer.seed).values()
        for output in metric.outputs
    }
    smallest = min(len(train), len(scorer.reference))
    if bench.samples > smallest:
        reason = f"{bench.samples} samples are asked for; the data set has {smallest} a side"
        return replace(base, status="skipped", reason=reason)
    folder = bench.out / "runs" / REAL
    draws: dict[str, list[float]] = {}
    skipped: dict[str, str] = {}
    better: dict[str, bool] = {}
    for number in range(REAL_DRAWS):
        report(Event("score", number, REAL_DRAWS))
        for source, wanted in ((train, False), (scorer.reference, True)):
            chosen = [output for output in outputs if looks[output] is wanted]
            if not chosen:
                continue
            subset = _subset(source, bench.samples, number)
            _, scores = scored(scorer, folder, subset, chosen)
            for name, estimate in scores.values.items():
                draws.setdefault(name, []).append(estimate.value)
            skipped |= scores.skipped
            better |= scores.better
    card = _real_path(bench, base.dataset)
    path = card.with_suffix(".safetensors")
    shown = scorer.reference.take(torch.arange(min(SHOWN, len(scorer.reference))))
    storage.write_bytes(path, pack_samples(shown.data, scorer.reference.spec))
    record = replace(
        base,
        scores={name: _spread(draws[name]) for name in outputs if name in draws},
        better=better,
        skipped_metrics=skipped,
        files={"samples": str(path.relative_to(bench.out))},
    )
    storage.write_card(card, asdict(record))
    return record


def finished_real(bench: Bench, dataset: str) -> list[Record] | None:
    """The real row, where it has been computed, or ``None``."""
    card = read_or_none(_real_path(bench, dataset))
    return None if card is None else [replace(Record(**card), suite=bench.name)]


def _real_path(bench: Bench, dataset: str) -> Path:
    return bench.out / "runs" / REAL / f"{bench.key(dataset)}.json"


def _subset(source: Samples, count: int, number: int) -> TensorSamples:
    chosen = torch.randperm(len(source), generator=generator(0, "real", number))[:count]
    batch = source.take(chosen)
    return TensorSamples(
        source.spec, f"{source.id}[{count} drawn, {number}]", batch.data, batch.condition
    )


def _spread(values: list[float]) -> dict[str, float | None]:
    return {
        "value": statistics.fmean(values),
        "low": None,
        "high": None,
        "deviation": statistics.stdev(values),
    }
