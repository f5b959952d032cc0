"""One training outside a suite's run: trained, sampled, and shown from noise to data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from genbench import modalities, registry, store
from genbench.api import Frames, ProgressCallback, ProgressEvent, TensorSamples, Variant
from genbench.api.errors import UnknownName, UsageError
from genbench.devices.hardware import DeviceOptions, Hardware, thread_variables
from genbench.devices.launch import Work, launched_ranks, on_ranks
from genbench.devices.ranks import Ranks
from genbench.experiment.conditions import given_prompts
from genbench.experiment.context import data_notes, reopen_data
from genbench.experiment.logs import open_log
from genbench.experiment.shown import forward, reverse
from genbench.experiment.stages import draw
from genbench.experiment.trained import open_trained
from genbench.experiment.trained import train as train_on_ranks
from genbench.loggers import chosen
from genbench.rendering.progress import Observer, observer_of
from genbench.report import frames_writer
from genbench.sampling import require_memory
from genbench.suite import Prompts, Suite, Training, parse_precision, trainings
from genbench.training.loop import TrainingResult

EXAMPLES = 80_000
"""The budget of a training that no suite describes."""

FRAMES = 60
"""Of an animation; a strip takes some of them."""


def train(
    what: str | Callable[..., Any],
    dataset: str | None = None,
    *,
    out: str | Path,
    options: Mapping[str, Any] | None = None,
    examples: int | None = None,
    seed: int | None = None,
    precision: str | None = None,
    compile: bool | None = None,
    devices: int | DeviceOptions = 1,
    loggers: Sequence[str] = (),
    plugins: Sequence[str | Path] = (),
    data_dir: str | Path = "data",
    progress: bool | Observer = True,
) -> TrainingResult:
    """Train a model on a data set, or resume the training in the folder ``out``.

    ``what``: a model's name or factory, with ``dataset``; without it ``SUITE:ENTRY``. The seed is
    0 or the suite's first, and the budget 80,000 examples or the suite's. ``compile``: whether
    ``torch.compile`` compiles the networks. Raises ``UsageError``.
    """
    registry.add_plugin_files(plugins)
    if callable(what):
        if dataset is None:
            raise UsageError("train a function: name its data set")
        what = registry.models.name_of(what)
    chosen_options = dict(options or {})
    if dataset is None:
        training, project = _of_suite(what, chosen_options), Path(what.rpartition(":")[0]).stem
    else:
        training, project = _of_names(what, dataset, chosen_options), "genbench"
    if examples is not None:
        training = replace(training, examples=examples)
    training = _changed(training, seed, precision)
    if compile is not None:
        training = replace(training, compile=compile)
    hardware = _hardware(devices, data_dir)
    hardware.require_shares(training.batch, training.accumulate)
    arguments = hardware, training, Path(out), project, chosen(loggers)
    result: TrainingResult = _computed(
        training.label, training, hardware, plugins, progress, _train, *arguments
    )
    return result


def sample(
    folder: str | Path,
    *,
    out: str | Path,
    count: int | None = None,
    prompts: Sequence[Any] | str | Path | None = None,
    each: int | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int | None = None,
    weights: str = "ema",
    precision: str | None = None,
    devices: int | DeviceOptions = 1,
    plugins: Sequence[str | Path] = (),
    data_dir: str | Path = "data",
    progress: bool | Observer = True,
) -> tuple[TensorSamples, dict[str, Any]]:
    """Draw samples from the training in ``folder`` into the file ``out``: an ``.npz``, or
    one that their modality knows.

    ``count``: 64 by default. ``prompts``: in its place, values of the condition that the model
    obeys (texts, or classes), or a file of them as a suite's ``[prompts]`` takes it; ``each``
    samples (1) of one after the other. An ``.npz`` then also holds the int64 arrays ``prompt``
    ``(N,)``, the number of each sample's prompt from 0, and ``seed`` ``(N,)``.

    ``options``: of the sampler. ``weights``: ``ema`` or ``raw``. Returns the samples, and what
    they cost (``nfe``, ``flops`` and ``parameters``, a sample). Raises ``UsageError``.
    """
    registry.add_plugin_files(plugins)
    trained = open_trained(Path(folder))
    modalities.require_writable(Path(out), trained.spec)
    training = _changed(trained.training, seed, precision)
    asked, beside = None, {}
    if prompts is None:
        if each is not None:
            raise UsageError("each is how many samples a prompt has, and there are no prompts")
        number = 64 if count is None else count
    else:
        if count is not None:
            raise UsageError("count goes without prompts: these have one sample each, or 'each'")
        with registry.kept_surroundings():
            asked = given_prompts(prompts, each or 1, trained.build(), trained.spec)
        rows = torch.arange(len(asked.conditions)).repeat_interleave(asked.each)
        beside = {"prompt": rows, "seed": torch.full_like(rows, training.seed)}
        number = len(rows)
    require_memory(trained.spec, number)
    hardware = _hardware(devices, data_dir)
    label = f"{training.label}: {number} samples"
    arguments = hardware, Path(folder), training, weights, dict(options or {}), number, asked
    samples, cost = _computed(label, training, hardware, plugins, progress, _draw, *arguments)
    modalities.write_samples(Path(out), samples, beside)
    return samples, cost


def show(
    which: str,
    folder: str | Path,
    *,
    out: str | Path,
    count: int | None = None,
    options: Mapping[str, Any] | None = None,
    precision: str | None = None,
    devices: int | DeviceOptions = 1,
    plugins: Sequence[str | Path] = (),
    data_dir: str | Path = "data",
    progress: bool | Observer = True,
) -> None:
    """Write how data become noise (``forward``), or noise samples (``reverse``), by the training in
    ``folder``: a ``.png`` is a strip, a row a sample; a ``.gif`` an animation; a ``.wav``, of
    sounds, the frames of the strip as they sound, one after the other.

    A model without a path from noise to samples, as a GAN, is shown along a walk through its noise.
    Raises ``UsageError``.
    """
    registry.add_plugin_files(plugins)
    if options and which == "forward":
        raise UsageError("--option belongs to show reverse: the forward process has none")
    trained = open_trained(Path(folder))
    write = frames_writer(Path(out), trained.spec)
    training = _changed(trained.training, None, precision)
    number = count or modalities.require(trained.spec).animated
    hardware = _hardware(devices, data_dir)
    label = f"{training.label}: {which}"
    arguments = hardware, Path(folder), training, which, dict(options or {}), number
    frames = _computed(label, training, hardware, plugins, progress, _frames, *arguments)
    store.write_bytes(Path(out), write(frames))


def _hardware(devices: int | DeviceOptions, data_dir: str | Path) -> Hardware:
    return DeviceOptions.of(devices).hardware(Path(data_dir))


def _changed(training: Training, seed: int | None, precision: str | None) -> Training:
    if seed is not None:
        training = replace(training, seed=seed)
    if precision is not None:
        training = replace(training, precision=parse_precision(precision))
    return training


def _computed(
    label: str,
    training: Training,
    hardware: Hardware,
    plugins: Sequence[str | Path],
    progress: bool | Observer,
    work: Work[Any],
    *arguments: Any,
) -> Any:
    """What ``work`` returns on rank 0, observed as one job."""
    reopen_data()
    observer = observer_of(progress)
    brought = registry.travelling(plugins, [training.model]) if hardware.world > 1 else []
    ranks, threads = launched_ranks(hardware), thread_variables(training.threads)
    with ranks, threads, registry.kept_surroundings(), observer.watch([label]) as watched:
        result = on_ranks(
            hardware,
            training.precision,
            work,
            *arguments,
            plugins=brought,
            report=lambda event: watched(0, event),
        )
        watched(0, ProgressEvent(getattr(result, "status", "done"), 1, 1))
    return result


def _train(
    ranks: Ranks,
    hardware: Hardware,
    training: Training,
    out: Path,
    project: str,
    loggers: tuple[str, ...],
    report: ProgressCallback,
) -> TrainingResult:
    torch.set_num_threads(training.threads)
    for said in data_notes(hardware.data_dir, training.dataset):
        report(ProgressEvent("train", 0, 1, note=said))
    with open_log(ranks, hardware, training, out, project, loggers, report) as log:
        return train_on_ranks(ranks, hardware, training, out, report, log).result


def _draw(
    ranks: Ranks,
    hardware: Hardware,
    folder: Path,
    training: Training,
    weights: str,
    options: Mapping[str, Any],
    count: int,
    prompts: Prompts | None,
    report: ProgressCallback,
) -> tuple[TensorSamples, dict[str, Any]]:
    torch.set_num_threads(training.threads)
    trained = replace(open_trained(folder), training=training)
    return draw(
        ranks,
        hardware,
        trained,
        examples=trained.last,
        weights=weights,
        options=options,
        count=count,
        report=report,
        prompts=prompts,
    )


def _frames(
    ranks: Ranks,
    hardware: Hardware,
    folder: Path,
    training: Training,
    which: str,
    options: Mapping[str, Any],
    count: int,
    report: ProgressCallback,
) -> Frames:
    torch.set_num_threads(training.threads)
    trained = replace(open_trained(folder), training=training)
    report(ProgressEvent(which, 0, 1))
    if which == "forward":
        trajectory = forward(ranks, hardware, trained, count, FRAMES)
    else:
        trajectory = reverse(ranks, hardware, trained, options, count, FRAMES)
    return Frames(trajectory.kind, trajectory.frames.numpy(), trained.spec)


def _of_suite(what: str, options: Mapping[str, Any]) -> Training:
    name, separator, entry = what.rpartition(":")
    if not separator:
        raise UsageError(f"train {what}: write SUITE:ENTRY, or MODEL DATASET")
    suite = Suite.from_toml(name)
    groups = trainings(suite, suite.seeds[:1])
    entries = {each.name: each for group in groups for each in group}
    if entry not in entries:
        raise UnknownName(f"entry of {name}", entry, entries)
    if (fault := entries[entry].fault) is not None:
        raise registry.PluginError(fault)
    training = entries[entry].training
    return replace(training, options=_options(training.model, {**training.options, **options}))


def _of_names(model: str, dataset: str, options: Mapping[str, Any]) -> Training:
    value = registry.models.get(model)
    if isinstance(value, Variant):
        raise UsageError(f"{model!r} is a way to sample {value.trains!r}: train that")
    return Training(
        model=model,
        options=_options(model, options),
        dataset=dataset,
        examples=EXAMPLES,
        snapshots=1,
        seed=0,
    )


def _options(model: str, options: Mapping[str, Any]) -> dict[str, Any]:
    return registry.check_options(f"model {model!r}", registry.models.get(model), options)
