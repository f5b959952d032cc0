"""Jobs: made of a suite here, and computed wherever an executor has brought them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import torch

from genbench import registry, store, suite
from genbench.api import REAL, Job, ProgressCallback, ProgressEvent, Resources, Rows
from genbench.api.errors import DataError, GenbenchError, one_line
from genbench.devices.hardware import Hardware
from genbench.devices.launch import Work, launched_ranks, on_ranks, run_rank
from genbench.devices.ranks import Ranks
from genbench.experiment.context import RunContext
from genbench.experiment.controls import run_baselines
from genbench.experiment.jobs import lost, run_job
from genbench.experiment.real import real_folder
from genbench.experiment.repair import keep_traceback
from genbench.experiment.stages import seconds_per_sample
from genbench.experiment.trained import run_folder
from genbench.registry import Plugin
from genbench.store.records import Record
from genbench.suite import Precision, SeededEntry, Suite

Command: TypeAlias = Literal["training", "real", "timing"]


def training_job(
    context: RunContext, content: Suite, entries: Sequence[SeededEntry], plugins: Sequence[Plugin]
) -> Job:
    """The job of ``entries``, which share a training of ``content``."""
    training = entries[0].training
    names = ", ".join(entry.name for entry in entries)
    resources = Resources(context.hardware.devices, training.threads)
    part = _part(content, entries)
    return _job(f"{names} · seed {training.seed}", "training", context, part, plugins, resources)


def real_job(context: RunContext, content: Suite, plugins: Sequence[Plugin]) -> Job:
    """The job of the real row of the suite's data set."""
    resources = Resources(context.hardware.devices, content.train.threads)
    return _job(REAL, "real", context, content, plugins, resources)


def timing_job(
    context: RunContext, content: Suite, entry: SeededEntry, plugins: Sequence[Plugin]
) -> Job:
    """The job that measures the seconds a sample of ``entry``, whose training is finished."""
    resources = Resources(1, entry.training.threads, alone=True)
    return _job(entry.name, "timing", context, _part(content, [entry]), plugins, resources)


def _job(
    label: str,
    command: Command,
    context: RunContext,
    part: Suite,
    plugins: Sequence[Plugin],
    resources: Resources,
) -> Job:
    hardware = asdict(context.hardware) | {"data_dir": str(context.hardware.data_dir.absolute())}
    content = {
        "suite": part.model_dump(mode="json") | {"name": context.name},
        "out": str(context.out.absolute()),
        "hardware": hardware,
        "loggers": list(context.loggers),
    }
    used = [] if command == "real" else [entry.model for entry in part.entries.values()]
    plugins = registry.needed(plugins, used)
    files = tuple(str(plugin.absolute()) for plugin in plugins if isinstance(plugin, Path))
    in_memory = tuple(plugin for plugin in plugins if not isinstance(plugin, Path))
    code = asdict(registry.held_code(used, plugins))
    return Job(label, command, content, files, code, resources, in_memory)


def read_job(file: Path) -> Job:
    """The job that is written in ``file`` as JSON. Raises ``DataError``, also for one that another
    version of genbench has written otherwise."""
    try:
        job = Job.load(json.loads(store.read_regular(file)))
        context_of(job)
        registry.HeldCode(**job.code)
        if job.command not in get_args(Command):
            raise ValueError(f"there is no command {job.command!r}")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DataError(f"{file} holds no job: {one_line(error)}") from error
    return job


def run_here(job: Job, report: ProgressCallback) -> Rows:
    """The rows of ``job``, computed by this process and those that torchrun or SLURM has started.
    Raises ``SystemExit`` in one that only helps."""
    _load_plugins(job)
    torch.set_num_threads(job.resources.threads)
    context = context_of(job)
    store.make_folder(context.out)
    with store.held(context.out), launched_ranks(context.hardware):
        return run_task(job, report)


def run_task(job: Job, report: ProgressCallback) -> Rows:
    """The same within ``launched_ranks``, where the plugins are loaded."""
    hardware, precision, work, arguments = _task(job)
    plugins = [*map(Path, job.plugins), *job.in_memory]
    return _rows(on_ranks(hardware, precision, work, *arguments, plugins=plugins, report=report))


def run_as_rank(job: Job, report: ProgressCallback) -> str | None:
    """In a new process, one of as many as the job has devices: rank 0 returns the rows, as JSON,
    which another process can read whatever a plugin has put there. Raises a ``GenbenchError`` for
    whatever the job raises; the traceback lies beside its run."""
    try:
        _load_plugins(job)
        torch.set_num_threads(job.resources.threads)
        with store.held(context_of(job).out):
            result = run_rank(*_task(job), report)
        for path in registry.undeclared_modules(job.code["files"]):
            note = f"{path} was imported by a name that is nowhere written: it is in no identity"
            report(ProgressEvent("undeclared", 0, 1, note=note))
        return None if result is None else json.dumps(_rows(result))
    except GenbenchError:
        raise
    except BaseException as error:
        with suppress(Exception):  # the process may be in any state
            keep_traceback(_folder(job), error)
        raise GenbenchError(one_line(error)) from error


def _folder(job: Job) -> Path:
    """That of the job's run."""
    context = context_of(job)
    if job.command == "real":
        return real_folder(context)
    (entries,) = suite.trainings(_suite(job))
    return run_folder(context, entries[0].training)


class _Task(NamedTuple):
    """What ``on_ranks`` is asked for."""

    hardware: Hardware
    precision: Precision
    work: Work[list[Any]]
    arguments: tuple[Any, ...]


def _task(job: Job) -> _Task:
    context, content = context_of(job), _suite(job)
    if job.command == "real":
        return _Task(context.hardware, "32-true", run_baselines, (context, content.dataset))
    (entries,) = suite.trainings(content)
    first, precision = entries[0], entries[0].training.precision
    if job.command == "timing":
        return _Task(context.hardware.alone(), precision, _time, (context, first))
    if first.fault is not None:
        return _Task(context.hardware, precision, _lost, (context, content.dataset, entries))
    return _Task(context.hardware, precision, run_job, (context, entries))


def _time(
    ranks: Ranks, context: RunContext, entry: SeededEntry, report: ProgressCallback
) -> list[dict[str, Any]]:
    seconds = seconds_per_sample(context, entry)
    return [{"entry": entry.name, "seed": entry.training.seed, "seconds_per_sample": seconds}]


def _lost(
    ranks: Ranks,
    context: RunContext,
    dataset: str,
    entries: Sequence[SeededEntry],
    report: ProgressCallback,
) -> list[Record]:
    """Where a plugin cannot be loaded that could be when the job was made."""
    return ranks.on_rank_zero(lambda: lost(context, dataset, entries, str(entries[0].fault)))


def _rows(results: Sequence[Any]) -> Rows:
    return [asdict(row) if isinstance(row, Record) else row for row in results]


def _part(content: Suite, entries: Sequence[SeededEntry]) -> Suite:
    """The suite of ``entries`` alone, which share a seed."""
    chosen = {entry.name: content.entries[entry.name] for entry in entries}
    seeds = (entries[0].training.seed,)
    return content.model_copy(update={"entries": chosen, "seeds": seeds})


def _suite(job: Job) -> Suite:
    return suite.parse(f"the job {job.label!r}", job.content["suite"])


def context_of(job: Job) -> RunContext:
    """Where the job's files and data lie, and on what it computes."""
    content, part = job.content, _suite(job)
    hardware = {**content["hardware"], "data_dir": Path(content["hardware"]["data_dir"])}
    out, loggers = Path(content["out"]), tuple(content["loggers"])
    return RunContext.of(part, out, Hardware(**hardware), loggers)


def _load_plugins(job: Job) -> None:
    """Raises ``CodeChanged`` if a file is not what it was when the job was made: of a plugin, of
    what it imports, or of genbench."""
    held = registry.HeldCode(**job.code)
    registry.hold_code(held)
    for plugin in (*map(Path, job.plugins), *job.in_memory):
        registry.load_plugin(plugin)
    registry.require_same(held.files)
