"""One training and everything that hangs off it → records."""

from __future__ import annotations

import platform
import traceback
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from genbench import evaluation, sampling, storage
from genbench.errors import GenbenchError, NonFiniteSamples, UsageError
from genbench.metrics import stability
from genbench.results import SCHEMA, Record
from genbench.runner.bench import Bench
from genbench.runner.stages import (
    Trained,
    draw,
    run_folder,
    scored,
    snapshot_scores,
    train,
    training_identity,
)
from genbench.suite import Entry
from genbench.training import loop
from genbench.types import Event, Report


def run_job(bench: Bench, entries: Sequence[Entry], report: Report) -> list[Record]:
    """Everything that hangs off one training: a record for each of ``entries``, which share it.

    A fault costs the rows concerned: they are ``failed`` (or ``skipped`` when the model says that
    it cannot fit the data) with the reason.
    """
    training = entries[0].training
    torch.set_num_threads(training.threads)
    try:
        trained = train(bench.host, training, run_folder(bench, training), report)
        curve = snapshot_scores(bench, trained, entries, report)
    except Exception as error:
        return [_without_scores(bench, entry, error) for entry in entries]
    records = []
    for entry in entries:
        try:
            record = _record(bench, trained, entry, curve, report)
        except NonFiniteSamples as error:
            record = _without_scores(bench, entry, error)
            record = replace(record, status="diverged", snapshots=curve)
        except Exception as error:
            records.append(_without_scores(bench, entry, error))
            continue
        storage.write_card(_record_path(bench, entry), asdict(record))
        records.append(record)
    return records


def finished(bench: Bench, entries: Sequence[Entry]) -> list[Record] | None:
    """The records of a job that needs no work, or ``None``."""
    records = []
    for entry in entries:
        card = storage.read_card(_record_path(bench, entry))
        if card is None:
            return None
        records.append(replace(Record(**card), suite=bench.name, entry=entry.name))
    return records


def _record(
    bench: Bench,
    trained: Trained,
    entry: Entry,
    curve: list[dict[str, Any]],
    report: Report,
) -> Record:
    outcome = trained.outcome
    samples, card = draw(
        bench.host,
        trained,
        images=trained.last,
        weights="ema",
        options=entry.sample,
        count=bench.samples,
        report=report,
    )
    report(Event("score", 0, 1))
    identity, scores = scored(bench.scorer(entry.training.dataset), trained.folder, samples)
    path = trained.folder / "samples" / f"{card['identity']}.safetensors"
    history = trained.folder / "history.csv"
    return replace(
        _base(bench, entry),
        status=outcome.status,
        reason=_divergence(outcome),
        scores={name: asdict(estimate) for name, estimate in scores.values.items()},
        better=scores.better,
        skipped_metrics=scores.skipped,
        protocol=scores.protocol,
        conditions=_conditions(bench, entry)
        | {"weights": "ema", "snapshot": trained.last, "sample": card["options"]},
        cost={
            "parameters": sum(outcome.parameters.values()),
            "sampling_parameters": card["parameters"],
            "training_flops": outcome.flops,
            "training_seconds": outcome.seconds,
            "nfe": card["nfe"],
            "sampling_flops": card["flops"],
            "seconds_per_sample": None,
        },
        stability=stability.summary(pd.read_csv(history), curve),
        snapshots=curve,
        identities={
            "training": trained.identity,
            "sampling": card["identity"],
            "scoring": identity,
        },
        files={
            "history": str(history.relative_to(bench.out)),
            "samples": str(path.relative_to(bench.out)),
        },
    )


def _base(bench: Bench, entry: Entry) -> Record:
    return Record(
        suite=bench.name,
        entry=entry.name,
        model=entry.model,
        trains=entry.training.model,
        dataset=entry.training.dataset,
        seed=entry.training.seed,
        status="done",
        conditions=_conditions(bench, entry),
    )


def _conditions(bench: Bench, entry: Entry) -> dict[str, Any]:
    training = entry.training
    return {
        "options": dict(training.options),
        "sample": dict(entry.sample),
        "images": training.steps * training.batch,
        "batch": training.batch,
        "ema_halflife": training.ema_halflife,
        "augment": training.augment,
        "precision": training.precision,
        "threads": training.threads,
        "device": bench.host.device_name,
        "devices": bench.host.devices,
        "torch": version("torch"),
        "genbench": version("genbench"),
        "platform": platform.platform(),
    }


def _divergence(outcome: loop.Outcome) -> str | None:
    if outcome.status == "done":
        return None
    return (
        f"non-finite loss or gradient norm at step {outcome.first_nonfinite_step}; "
        f"scored at {outcome.snapshots[-1]} images"
    )


def _without_scores(bench: Bench, entry: Entry, error: Exception) -> Record:
    """The row of an entry that has no scores: the reason in one line, and the traceback of a
    plugin's own fault beside its run."""
    known = isinstance(error, GenbenchError)
    reason = str(error) if known else f"{type(error).__name__}: {error}"
    if not known:
        text = "".join(traceback.format_exception(error))
        storage.write_text(run_folder(bench, entry.training) / "error.txt", text)
    return replace(
        _base(bench, entry),
        status="skipped" if isinstance(error, UsageError) else "failed",
        reason=" ".join(reason.split()),
    )


def _record_path(bench: Bench, entry: Entry) -> Path:
    key = storage.fingerprint(
        {
            "training": training_identity(bench.host, entry.training),
            "model": entry.model,
            "sample": dict(entry.sample),
            "snapshot_sample": dict(entry.snapshot_sample),
            "snapshots": bench.score.snapshots.model_dump(mode="json"),
            "protocol": bench.scorer(entry.training.dataset).protocol(bench.samples),
            "versions": [sampling.VERSION, evaluation.VERSION, SCHEMA],
        }
    )
    return run_folder(bench, entry.training) / "records" / f"{key}.json"
