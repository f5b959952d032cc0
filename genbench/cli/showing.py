"""``genbench show``: what a training does to data and to noise, as a strip or an animation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from genbench import experiment, modalities, store, suite
from genbench.api import Frames, ProgressCallback, ProgressEvent
from genbench.api.errors import UsageError
from genbench.cli.screen import console, screen
from genbench.cli.single import parse_options
from genbench.devices.hardware import Hardware
from genbench.devices.launch import launched_ranks, on_ranks
from genbench.devices.ranks import Ranks
from genbench.devices.threads import thread_variables
from genbench.executors.local import Job
from genbench.report import frames_writer
from genbench.suite import Training

FRAMES = 60
"""Of an animation; a strip takes some of them."""


def show(
    which: str,
    folder: Path,
    count: int | None,
    options: Sequence[str],
    out: Path,
    precision: str | None,
    hardware: Hardware,
    plugins: Sequence[Path],
) -> None:
    """Write the trajectory ``which`` of the training in ``folder`` to ``out``."""
    write = frames_writer(out)
    parsed = parse_options(options)
    if parsed and which == "forward":
        raise UsageError("--option belongs to show reverse: the forward process has none")
    trained = experiment.open_trained(folder)
    training = trained.training
    if precision is not None:
        training = replace(training, precision=suite.precision(precision))
    number = count or modalities.require(trained.spec).animated
    with launched_ranks(hardware) as leads, thread_variables(training.threads):
        if not leads:
            return
        job = Job(f"{training.label}: {which}", training.dataset)
        with screen([job]) as told:
            frames = on_ranks(
                hardware,
                training.precision,
                _frames,
                hardware,
                folder,
                training,
                which,
                parsed,
                number,
                plugins=plugins,
                report=lambda event: told(job, event),
            )
            told(job, ProgressEvent("done", 1, 1))
    store.write_bytes(out, write(frames))
    console.print(f"{out} written", markup=False, soft_wrap=True)


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
    trained = replace(experiment.open_trained(folder), training=training)
    report(ProgressEvent(which, 0, 1))
    if which == "forward":
        trajectory = experiment.forward(ranks, hardware, trained, count, FRAMES)
    else:
        trajectory = experiment.reverse(ranks, hardware, trained, options, count, FRAMES)
    return Frames(trajectory.kind, trajectory.frames.numpy(), trained.spec)
