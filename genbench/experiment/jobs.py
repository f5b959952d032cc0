"""One training, with its samples and scores → records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from genbench.api import ProgressCallback
from genbench.api.errors import GenbenchError, NonFiniteSamples, UsageError
from genbench.devices.ranks import Fault, Ranks, attempt
from genbench.experiment.context import RunContext, open_cached
from genbench.experiment.imported import imported_conditions, require_imported
from genbench.experiment.logs import log_scores, log_snapshots, open_log, rows_of
from genbench.experiment.real import real_base, repair_real
from genbench.experiment.reconstruction import finished_reconstruction, run_reconstruction
from genbench.experiment.record import (
    entry_record,
    history_of,
    record_inputs,
    without_scores,
)
from genbench.experiment.repair import repair
from genbench.experiment.shown import stored_trajectories
from genbench.experiment.stage_table import RECORD
from genbench.experiment.stages import snapshot_scores
from genbench.experiment.trained import Trained, builder, description, run_folder, train
from genbench.loggers import Log
from genbench.store.records import Record, checked
from genbench.suite import SeededEntry


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
        return ranks.on_rank_zero(lambda: [without_scores(context, e, status, error) for e in of])

    data_dir = context.hardware.data_dir
    built = attempt(
        ranks, lambda: builder(training, open_cached(training.dataset, data_dir).spec)()
    )
    if isinstance(built, Fault):
        refused = isinstance(built.error, UsageError)
        return rows("skipped" if refused else "failed", built.error, *entries)
    fit = attempt(ranks, lambda: require_imported(context, training, built))
    if isinstance(fit, Fault):
        known = {"examples": 0, "pretrained": True, **imported_conditions(context.hardware, built)}
        skipped = rows("skipped", fit.error, *entries)
        return [replace(row, conditions={**row.conditions, **known}) for row in skipped]
    records = run_reconstruction(ranks, context, training, built, report)

    def prepare() -> tuple[Trained, list[dict[str, Any]], list[str], dict[str, str]]:
        trained = train(
            ranks, context.hardware, training, run_folder(context, training), report, log
        )
        if log.waits:  # for the history of a training that had ended, and was not scored
            log.end(rows_of(history_of(trained)))
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
            record = entry_record(ranks, context, trained, entry, curve, report)
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
        _stored(context, entry, entries) or without_scores(context, entry, "failed", error)
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
    return replace(record, suite=context.name, entry=entry.name, note=entry.note)
