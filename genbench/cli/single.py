"""``genbench train`` and ``genbench sample``: one training, and samples from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from genbench import experiment, modalities, registry, suite
from genbench.api import ProgressCallback, ProgressEvent, TensorSamples, Variant
from genbench.api.errors import UnknownName, UsageError
from genbench.cli.screen import console, screen
from genbench.devices.hardware import Hardware
from genbench.devices.launch import launched_ranks, on_ranks
from genbench.devices.ranks import Ranks
from genbench.devices.threads import thread_variables
from genbench.executors.local import Job
from genbench.suite import Training
from genbench.training.loop import Outcome


def describe(
    what: str,
    dataset: str | None,
    options: Sequence[str],
    examples: int | None,
    seed: int | None,
    precision: str | None,
) -> Training:
    """The training of a suite's entry, or of a model on a data set. Raises ``UsageError``."""
    training = _of_suite(what, options) if dataset is None else _of_names(what, dataset, options)
    if examples is not None:
        training = replace(training, examples=examples)
    if seed is not None:
        training = replace(training, seed=seed)
    if precision is not None:
        training = replace(training, precision=suite.precision(precision))
    return training


def train(
    training: Training,
    out: Path,
    hardware: Hardware,
    plugins: Sequence[Path],
    project: str,
    loggers: tuple[str, ...],
) -> None:
    """Train into the folder ``out``, or go on with what is there; ``loggers`` have it under the
    name ``project``."""
    hardware.require_shares(training.batch)
    with launched_ranks(hardware) as leads, thread_variables(training.threads):
        if not leads:
            return
        job = Job(training.label, training.dataset)
        with screen([job]) as show:
            outcome = on_ranks(
                hardware,
                training.precision,
                _train,
                hardware,
                training,
                out,
                project,
                loggers,
                plugins=plugins,
                report=lambda event: show(job, event),
            )
            show(job, ProgressEvent(outcome.status, 1, 1))
    console.print(
        f"{outcome.status} after {outcome.examples} examples in {outcome.seconds:.0f} s; "
        f"sample it with: genbench sample {out} --out samples.npz",
        markup=False,
        soft_wrap=True,
    )


def _train(
    ranks: Ranks,
    hardware: Hardware,
    training: Training,
    out: Path,
    project: str,
    loggers: tuple[str, ...],
    report: ProgressCallback,
) -> Outcome:
    torch.set_num_threads(training.threads)
    with experiment.open_log(ranks, hardware, training, out, project, loggers, report) as log:
        return experiment.train(ranks, hardware, training, out, report, log).outcome


def sample(
    folder: Path,
    count: int,
    options: Sequence[str],
    seed: int | None,
    weights: str,
    out: Path,
    precision: str | None,
    hardware: Hardware,
    plugins: Sequence[Path],
) -> None:
    """Draw samples from a training into a file: ``.npz``, or one that their modality knows."""
    trained = experiment.open_trained(folder)
    modalities.require_writable(out, trained.spec)
    training = trained.training
    if seed is not None:
        training = replace(training, seed=seed)
    if precision is not None:
        training = replace(training, precision=suite.precision(precision))
    with launched_ranks(hardware) as leads, thread_variables(training.threads):
        if not leads:
            return
        job = Job(f"{training.label}: {count} samples", training.dataset)
        with screen([job]) as show:
            samples, cost = on_ranks(
                hardware,
                training.precision,
                _draw,
                hardware,
                folder,
                training,
                weights,
                parse_options(options),
                count,
                plugins=plugins,
                report=lambda event: show(job, event),
            )
            show(job, ProgressEvent("done", 1, 1))
    modalities.write_samples(out, samples)
    done = f"{out}: {count} samples, {cost['nfe']:g} network evaluations each"
    console.print(done, markup=False, soft_wrap=True)


def _draw(
    ranks: Ranks,
    hardware: Hardware,
    folder: Path,
    training: Training,
    weights: str,
    options: Mapping[str, Any],
    count: int,
    report: ProgressCallback,
) -> tuple[TensorSamples, dict[str, Any]]:
    torch.set_num_threads(training.threads)
    trained = replace(experiment.open_trained(folder), training=training)
    return experiment.draw(
        ranks,
        hardware,
        trained,
        examples=trained.last,
        weights=weights,
        options=options,
        count=count,
        report=report,
    )


def parse_options(options: Sequence[str]) -> dict[str, Any]:
    """``KEY=VALUE`` pairs; a value is TOML, or else plain text. Raises ``UsageError``."""
    parsed: dict[str, Any] = {}
    for option in options:
        key, separator, text = option.partition("=")
        if not separator or not key:
            raise UsageError(f"--option {option}: write KEY=VALUE, as in --option steps=50")
        parsed[key] = suite.parse_value(text)
    return parsed


def _of_suite(what: str, options: Sequence[str]) -> Training:
    name, separator, entry = what.rpartition(":")
    if not separator:
        raise UsageError(f"train {what}: write SUITE:ENTRY, or MODEL DATASET")
    content = suite.load(name)
    first = content.seeds[:1]
    entries = {e.name: e for group in suite.trainings(content, first) for e in group}
    if entry not in entries:
        raise UnknownName(f"entry of {name}", entry, entries)
    if (fault := entries[entry].fault) is not None:
        raise registry.PluginError(fault)
    training = entries[entry].training
    return replace(training, options=_options(training.model, {**training.options}, options))


def _of_names(model: str, dataset: str, options: Sequence[str]) -> Training:
    value = registry.models.get(model)
    if isinstance(value, Variant):
        raise UsageError(f"{model!r} is a way to sample {value.trains!r}: train that")
    defaults = suite.Train().model_dump()
    return Training(
        model=model,
        options=_options(model, {}, options),
        dataset=dataset,
        examples=80_000,
        snapshots=1,
        seed=0,
        **defaults,
    )


def _options(model: str, base: Mapping[str, Any], options: Sequence[str]) -> dict[str, Any]:
    factory = registry.models.get(model)
    return registry.check_options(f"model {model!r}", factory, {**base, **parse_options(options)})
