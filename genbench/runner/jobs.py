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

from genbench import storage
from genbench.errors import GenbenchError, NonFiniteSamples, UsageError, one_line
from genbench.metrics import stability
from genbench.results import Record
from genbench.runner.bench import Bench, open_cached
from genbench.runner.real import real_base
from genbench.runner.stages import (
    Trained,
    builder,
    draw,
    read_or_none,
    run_folder,
    scored,
    snapshot_options,
    snapshot_scores,
    train,
    training_identity,
)
from genbench.suite import Entry
from genbench.training import loop
from genbench.types import Event, Report, TensorSamples


def run_job(bench: Bench, entries: Sequence[Entry], report: Report) -> list[Record]:
    """Everything that hangs off one training: a record for each of ``entries``, which share it.

    A fault costs the rows concerned: they are ``failed`` with the reason. A model that says when it
    is built that it cannot fit the data is ``skipped``.
    """
    training = entries[0].training
    torch.set_num_threads(training.threads)
    try:
        builder(training, open_cached(training.dataset, bench.host.data_dir).spec)()
    except UsageError as error:
        return [_without_scores(bench, entry, "skipped", error) for entry in entries]
    except Exception as error:
        return [_without_scores(bench, entry, "failed", error) for entry in entries]
    try:
        trained = train(bench.host, training, run_folder(bench, training), report)
        curve = snapshot_scores(bench, trained, entries, report)
    except Exception as error:
        return [_without_scores(bench, entry, "failed", error) for entry in entries]
    records = []
    for entry in entries:
        try:
            record = _record(bench, trained, entry, curve, report)
        except Exception as error:
            status = "diverged" if isinstance(error, NonFiniteSamples) else "failed"
            records.append(_without_scores(bench, entry, status, error))
            continue
        storage.write_card(_record_path(bench, entry, entries), asdict(record))
        records.append(record)
    return records


def lost(bench: Bench, dataset: str, entries: Sequence[Entry], reason: str) -> list[Record]:
    """The records of a job whose process died: of ``entries``, or of the real row without any."""
    if not entries:
        return [replace(real_base(bench, dataset), status="failed", reason=reason)]
    error = GenbenchError(reason)
    return [_without_scores(bench, entry, "failed", error) for entry in entries]


def finished(bench: Bench, entries: Sequence[Entry]) -> list[Record] | None:
    """The records of a job that needs no work, or ``None``."""
    records = []
    for entry in entries:
        card = read_or_none(_record_path(bench, entry, entries))
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
    images, samples, card = _draw_last_good(bench, trained, entry, report)
    broken = None if images == trained.last else "the sampler gave samples that are not finite"
    report(Event("score", 0, 1))
    identity, scores = scored(bench.scorer(entry.training.dataset), trained.folder, samples)
    path = trained.folder / "samples" / f"{card['identity']}.safetensors"
    history = trained.folder / "history.csv"
    return replace(
        _base(bench, entry),
        status=outcome.status if broken is None else "diverged",
        reason=_divergence(outcome, broken, images),
        scores={name: asdict(estimate) for name, estimate in scores.values.items()},
        better=scores.better,
        skipped_metrics=scores.skipped,
        protocol=scores.protocol,
        conditions=_conditions(bench, entry)
        | {"weights": "ema", "snapshot": images, "sample": card["options"]},
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


def _draw_last_good(
    bench: Bench, trained: Trained, entry: Entry, report: Report
) -> tuple[int, TensorSamples, dict[str, Any]]:
    """Samples of the last snapshot whose sampler gives finite ones, and its image count."""
    for images in reversed(trained.outcome.snapshots):
        try:
            samples, card = draw(
                bench.host,
                trained,
                images=images,
                weights="ema",
                options=entry.sample,
                count=bench.samples,
                report=report,
            )
        except NonFiniteSamples:
            continue
        return images, samples, card
    raise NonFiniteSamples("no snapshot, not even the untrained one, gives finite samples")


def _base(bench: Bench, entry: Entry) -> Record:
    return Record(
        suite=bench.name,
        entry=entry.name,
        model=entry.model,
        trains=entry.training.model,
        dataset=entry.training.dataset,
        seed=entry.training.seed,
        status="done",
        protocol=bench.scorer(entry.training.dataset).protocol(bench.samples),
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


def _divergence(outcome: loop.Outcome, broken: str | None, images: int) -> str | None:
    if outcome.status == "diverged":
        step = outcome.first_nonfinite_step
        broken = f"a loss, a gradient norm or a weight was not finite at step {step}"
    return None if broken is None else f"{broken}; scored at {images} images"


def _without_scores(bench: Bench, entry: Entry, status: str, error: Exception) -> Record:
    """The row of an entry that has no scores: the reason in one line, and the traceback of a
    plugin's own fault beside its run."""
    if not isinstance(error, GenbenchError):
        text = "".join(traceback.format_exception(error))
        storage.write_text(run_folder(bench, entry.training) / "error.txt", text)
    return replace(_base(bench, entry), status=status, reason=one_line(error))


def _record_path(bench: Bench, entry: Entry, entries: Sequence[Entry]) -> Path:
    """Named by all that decides the record, the entries that share the training included: they
    decide how its snapshots were sampled."""
    key = storage.fingerprint(
        {
            "training": training_identity(bench.host, entry.training),
            "model": entry.model,
            "sample": dict(entry.sample),
            "snapshot_sample": dict(snapshot_options(entries)),
            "bench": bench.key(entry.training.dataset),
        }
    )
    return run_folder(bench, entry.training) / "records" / f"{key}.json"
