"""One training, with its samples and scores → records."""

from __future__ import annotations

import io
import platform
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import Any

import pandas as pd
import torch

from genbench import evaluation, store, suite
from genbench.api import ProgressCallback, ProgressEvent, TensorSamples
from genbench.api.errors import (
    GenbenchError,
    NonFiniteSamples,
    UsageError,
    one_line,
)
from genbench.api.metrics import LIKELIHOOD_OUTPUT
from genbench.devices.ranks import Fault, Ranks, attempt
from genbench.experiment.context import RunContext, open_cached
from genbench.experiment.logs import log_scores, log_snapshots, open_log, rows_of
from genbench.experiment.real import real_base, repair_real
from genbench.experiment.reconstruction import finished_reconstruction, run_reconstruction
from genbench.experiment.repair import keep_traceback, repair
from genbench.experiment.shown import neighbours, stored_trajectories
from genbench.experiment.stage_table import RECORD
from genbench.experiment.stages import (
    draw,
    likelihood_score,
    scored,
    snapshot_options,
    snapshot_scores,
)
from genbench.experiment.trained import (
    Trained,
    builder,
    description,
    run_folder,
    train,
    training_identity,
)
from genbench.loggers import Log
from genbench.store.records import Record, checked, score_of
from genbench.suite import SeededEntry
from genbench.training import checkpoint, loop, stability


def run_job(
    ranks: Ranks, context: RunContext, entries: Sequence[SeededEntry], report: ProgressCallback
) -> list[Record]:
    """One training, with its samples and scores: a record for each of ``entries``, which share it,
    and one for the codec of its model, if it has one.

    A fault costs the rows concerned: they are ``failed`` with the reason. A model that says when it
    is built that it cannot fit the data is ``skipped``. Raises ``store.CannotWrite``, of which no
    row can be written, and ``OutOfStep``.
    """
    training = entries[0].training
    torch.set_num_threads(training.threads)
    folder = run_folder(context, training)
    with open_log(
        ranks, context.hardware, training, folder, context.name, context.loggers, report
    ) as log:
        records = _run(ranks, context, entries, log, report)
        log.failed = any(record.status == "failed" for record in records)
    return records


def _run(
    ranks: Ranks,
    context: RunContext,
    entries: Sequence[SeededEntry],
    log: Log,
    report: ProgressCallback,
) -> list[Record]:
    training = entries[0].training

    def rows(status: str, error: BaseException, *of: SeededEntry) -> list[Record]:
        return ranks.on_rank_zero(lambda: [_without_scores(context, e, status, error) for e in of])

    data_dir = context.hardware.data_dir
    built = attempt(
        ranks, lambda: builder(training, open_cached(training.dataset, data_dir).spec)()
    )
    if isinstance(built, Fault):
        refused = isinstance(built.error, UsageError)
        return rows("skipped" if refused else "failed", built.error, *entries)
    records = run_reconstruction(ranks, context, training, built, report)

    def prepare() -> tuple[Trained, list[dict[str, Any]], list[str], dict[str, str]]:
        trained = train(
            ranks, context.hardware, training, run_folder(context, training), report, log
        )
        if log.waits:  # for the history of a training that had ended, and was not scored
            log.end(rows_of(_history(trained)))
        curve, faults = snapshot_scores(ranks, context, trained, entries, report)
        log_snapshots(log, curve)
        shown = stored_trajectories(ranks, context, trained, entries, report)
        return trained, curve, faults, shown

    prepared = attempt(ranks, prepare)
    if isinstance(prepared, Fault):
        return [*records, *rows("failed", prepared.error, *entries)]
    trained, curve, faults, shown = prepared
    logged: set[str] = set()
    for entry in entries:

        def compute(entry: SeededEntry = entry) -> Record:
            record = _record(ranks, context, trained, entry, curve, report)
            log_scores(log, record)
            logged.add(entry.name)
            others = [fault for fault in record.faults if fault not in faults]
            files = {**record.files, **shown}
            return checked(replace(record, files=files, faults=[*faults, *others]))

        inputs = record_inputs(context, entry, entries)
        stored = attempt(ranks, partial(RECORD.once, ranks, trained.folder, inputs, compute))
        if isinstance(stored, Fault):
            status = "diverged" if isinstance(stored.error, NonFiniteSamples) else "failed"
            records += rows(status, stored.error, entry)
        else:
            record = _named(context, entry, stored.value)
            if entry.name not in logged:
                log_scores(log, record)
            records.append(record)
    return records


def lost(
    context: RunContext, dataset: str, entries: Sequence[SeededEntry], reason: str
) -> list[Record]:
    """The records of a job whose process died: of ``entries``, or of the real row without any. What
    it had recorded before stands."""
    if not entries:
        return [replace(real_base(context, dataset), status="failed", reason=reason)]
    error = GenbenchError(reason)
    return [
        _stored(context, entry, entries) or _without_scores(context, entry, "failed", error)
        for entry in entries
    ]


def repair_all(
    context: RunContext,
    groups: Sequence[Sequence[SeededEntry]],
    dataset: str,
    report: ProgressCallback,
) -> None:
    """Name and put away what is damaged in the run folders of ``groups`` and of the real row."""
    for group in groups:
        training = group[0].training
        repair(run_folder(context, training), description(context.hardware, training), report)
    repair_real(context, report)


def finished(context: RunContext, entries: Sequence[SeededEntry]) -> list[Record] | None:
    """The records of a job that needs no work, or ``None``."""
    records = [_stored(context, entry, entries) for entry in entries]
    codecs = {r.conditions["codec"]["id"] for r in records if r and "codec" in r.conditions}
    training = entries[0].training
    records += [finished_reconstruction(context, training, codec) for codec in codecs]
    whole = [record for record in records if record is not None]
    return whole if len(whole) == len(records) else None


def _stored(
    context: RunContext, entry: SeededEntry, entries: Sequence[SeededEntry]
) -> Record | None:
    inputs = record_inputs(context, entry, entries)
    record = RECORD.find(run_folder(context, entry.training), inputs)
    return None if record is None else _named(context, entry, record)


def _named(context: RunContext, entry: SeededEntry, record: Record) -> Record:
    """The record as this suite has it: it may have been stored under other names."""
    return replace(record, suite=context.name, entry=entry.name)


def _record(
    ranks: Ranks,
    context: RunContext,
    trained: Trained,
    entry: SeededEntry,
    curve: list[dict[str, Any]],
    report: ProgressCallback,
) -> Record:
    result = trained.result
    examples, samples, metadata = _draw_last_good(ranks, context, trained, entry, report)
    given = result.status == "done" and result.examples == 0
    broken = None if examples == trained.last else "the sampler gave samples that are not finite"
    report(ProgressEvent("score", 0, 1))
    scorer = context.scorer(entry.training.dataset, ranks)
    identity, scores = scored(ranks, scorer, trained.folder, samples)
    beside = neighbours(ranks, scorer, trained.folder, identity, samples)
    bits, no_bits = likelihood_score(ranks, context, trained, examples, report)
    path = trained.folder / "samples" / f"{metadata['identity']}.safetensors"
    history = trained.folder / checkpoint.HISTORY
    return replace(
        _base(context, entry),
        status=result.status if broken is None else "diverged",
        reason=_divergence(result, broken, examples),
        scores={name: score_of(estimate) for name, estimate in {**scores.values, **bits}.items()},
        outputs={**scores.outputs, **dict.fromkeys(bits, LIKELIHOOD_OUTPUT)},
        skipped_metrics={**scores.skipped, **no_bits},
        faults=scores.faults,
        conditions=_conditions(context, entry)
        | {"weights": "ema", "snapshot": examples, "sample": metadata["options"]}
        | {"obeys": metadata["obeys"]}
        | ({"codec": metadata["codec"]} if "codec" in metadata else {})
        | ({"examples": 0, "pretrained": True} if given else {}),
        cost={
            "parameters": sum(result.parameters.values()),
            "sampling_parameters": metadata["parameters"],
            # What weights that came from elsewhere have cost is not known here.
            "training_flops": None if given else result.flops,
            "training_seconds": None if given else result.seconds,
            "nfe": metadata["nfe"],
            "sampling_flops": metadata["flops"],
            "seconds_per_sample": None,
        },
        stability=stability.summary(
            _history(trained),
            curve,
            context.score.headline,
            higher_is_better=_higher_is_better(context.score),
            threshold=context.score.snapshots.threshold,
        ),
        snapshots=curve,
        identities={
            "training": trained.identity,
            "sampling": metadata["identity"],
            "scoring": identity,
        },
        files={
            "history": str(history.relative_to(context.out)),
            "samples": str(path.relative_to(context.out)),
        }
        | ({} if beside is None else {"neighbours": str(beside.relative_to(context.out))}),
    )


def _higher_is_better(score: suite.Score) -> bool:
    """Of the headline score."""
    (metric,) = evaluation.resolve([score.headline], score.seed).values()
    return metric.outputs[score.headline].higher_is_better


def _history(trained: Trained) -> pd.DataFrame:
    data, _ = store.require_artefact(trained.folder / checkpoint.HISTORY)
    return pd.read_csv(io.BytesIO(data))


def _draw_last_good(
    ranks: Ranks,
    context: RunContext,
    trained: Trained,
    entry: SeededEntry,
    report: ProgressCallback,
) -> tuple[int, TensorSamples, dict[str, Any]]:
    """Samples of the last snapshot whose sampler gives finite ones, and its example count."""
    for examples in reversed(trained.result.snapshots):
        try:
            samples, metadata = draw(
                ranks,
                context.hardware,
                trained,
                examples=examples,
                weights="ema",
                options=entry.sample,
                count=context.samples,
                report=report,
                prompts=context.prompts,
            )
        except NonFiniteSamples:
            continue
        return examples, samples, metadata
    raise NonFiniteSamples("no snapshot, not even the untrained one, gives finite samples")


def _base(context: RunContext, entry: SeededEntry) -> Record:
    return Record(
        suite=context.name,
        entry=entry.name,
        model=entry.model,
        trains=entry.training.model,
        dataset=entry.training.dataset,
        seed=entry.training.seed,
        status="done",
        protocol=context.protocol(entry.training.dataset),
        conditions=_conditions(context, entry),
    )


def _conditions(context: RunContext, entry: SeededEntry) -> dict[str, Any]:
    training = entry.training
    return {
        "options": dict(training.options),
        "sample": dict(entry.sample),
        "examples": training.steps * training.batch,
        **training.train_options(),
        "device": context.hardware.device_name,
        "devices": context.hardware.world,
        "torch": version("torch"),
        "genbench": version("genbench"),
        "platform": platform.platform(),
        **({} if context.prompts is None else {"prompts": context.prompts.model_dump(mode="json")}),
    }


def _divergence(result: loop.TrainingResult, broken: str | None, examples: int) -> str | None:
    if result.status == "diverged":
        step = result.first_nonfinite_step
        broken = f"a loss, a gradient norm or a weight was not finite at step {step}"
    return None if broken is None else f"{broken}; scored at {examples} examples"


def _without_scores(
    context: RunContext, entry: SeededEntry, status: str, error: BaseException
) -> Record:
    """The row of an entry that has no scores: the reason in one line, and the traceback of a
    plugin's own fault beside its run."""
    keep_traceback(run_folder(context, entry.training), error)
    return replace(_base(context, entry), status=status, reason=one_line(error))


def record_inputs(
    context: RunContext, entry: SeededEntry, entries: Sequence[SeededEntry]
) -> dict[str, Any]:
    return {
        "training": training_identity(context.hardware, entry.training),
        "model": entry.model,
        "sample": dict(entry.sample),
        "snapshot_sample": dict(snapshot_options(entries)),
        "context": context.inputs(entry.training.dataset),
    }
