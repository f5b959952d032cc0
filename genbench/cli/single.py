"""``genbench train`` and ``genbench sample``: one training, and samples from it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from genbench import registry, suite
from genbench.cli.screen import console, screen
from genbench.errors import UnknownName, UsageError
from genbench.executors.local import Job
from genbench.suite import Training
from genbench.types import Event, Variant


def train(
    what: str,
    dataset: str | None,
    options: Sequence[str],
    images: int | None,
    seed: int | None,
    out: Path,
    device: str,
    data_dir: Path,
) -> None:
    """Train an entry of a suite, or a model on a data set."""
    from genbench import runner

    training = _of_suite(what, options) if dataset is None else _of_names(what, dataset, options)
    if images is not None:
        training = replace(training, images=images)
    if seed is not None:
        training = replace(training, seed=seed)
    _prepare(training.threads)
    host = runner.Host(data_dir, runner.choose_device(device))
    job = Job(training.label, training.dataset)
    with screen([job]) as show:
        trained = runner.train(host, training, out, lambda event: show(job, event))
        show(job, Event(trained.outcome.status, 1, 1))
    outcome = trained.outcome
    console.print(
        f"{outcome.status} after {outcome.images} images in {outcome.seconds:.0f} s; "
        f"sample it with: genbench sample {out} --out samples.npz",
        markup=False,
        soft_wrap=True,
    )


def sample(
    folder: Path,
    count: int,
    options: Sequence[str],
    seed: int | None,
    weights: str,
    out: Path,
    device: str,
    data_dir: Path,
) -> None:
    """Draw samples from a training into an ``.npz`` file."""
    from genbench import runner
    from genbench.data.arrays import save_npz

    if out.suffix != ".npz":
        raise UsageError(f"--out {out}: samples are written as .npz")
    trained = runner.open_trained(folder)
    _prepare(trained.training.threads)
    if seed is not None:
        trained = replace(trained, training=replace(trained.training, seed=seed))
    host = runner.Host(data_dir, runner.choose_device(device))
    job = Job(f"{trained.training.label}: {count} samples", trained.training.dataset)
    with screen([job]) as show:
        samples, cost = runner.draw(
            host,
            trained,
            images=trained.last,
            weights=weights,
            options=parse_options(options),
            count=count,
            report=lambda event: show(job, event),
        )
        show(job, Event("done", 1, 1))
    save_npz(out, samples)
    done = f"{out}: {count} samples, {cost['nfe']:g} network evaluations each"
    console.print(done, markup=False, soft_wrap=True)


def parse_options(options: Sequence[str]) -> dict[str, Any]:
    """``KEY=VALUE`` pairs; a value is TOML, or else plain text. Raises ``UsageError``."""
    parsed: dict[str, Any] = {}
    for option in options:
        key, separator, text = option.partition("=")
        if not separator or not key:
            raise UsageError(f"--option {option}: write KEY=VALUE, as in --option steps=50")
        try:
            parsed[key] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            parsed[key] = text
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
        images=80_000,
        snapshots=1,
        seed=0,
        **defaults,
    )


def _options(model: str, base: Mapping[str, Any], options: Sequence[str]) -> dict[str, Any]:
    factory = registry.models.get(model)
    return registry.check_options(f"model {model!r}", factory, {**base, **parse_options(options)})


def _prepare(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
