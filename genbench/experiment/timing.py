"""What sampling costs in seconds, measured while nothing else runs."""

from __future__ import annotations

from pathlib import Path

import torch

from genbench import sampling, store
from genbench.experiment.context import RunContext
from genbench.experiment.stages import conditions, sampling_options
from genbench.experiment.trained import open_trained, run_folder
from genbench.suite import SeededEntry


def stored_seconds(context: RunContext, entry: SeededEntry) -> float | None:
    """What ``seconds_per_sample`` has measured, or ``None`` before."""
    metadata = store.read_metadata(_path(context, entry))
    return None if metadata is None else float(metadata["seconds_per_sample"])


def seconds_per_sample(context: RunContext, entry: SeededEntry) -> float:
    """Wall-clock of one block over its size; to be called while nothing else runs."""
    seconds = stored_seconds(context, entry)
    if seconds is None:
        torch.set_num_threads(entry.training.threads)
        trained = open_trained(run_folder(context, entry.training))
        model = trained.model(trained.last, "ema")
        what = f"model {entry.model!r}"
        fabric = context.hardware.alone().fabric(entry.training.precision)
        options = sampling_options(model, what, entry.sample)
        warm = sampling_options(model, what, entry.snapshot_sample or entry.sample)
        given = conditions(context.hardware, trained, model)
        for timed in (warm, options):
            block = sampling.seconds_per_block(fabric, model, trained.spec, timed, given)
        seconds = block / sampling.BLOCK
        store.write_metadata(_path(context, entry), {"seconds_per_sample": seconds})
    return seconds


def _path(context: RunContext, entry: SeededEntry) -> Path:
    folder = run_folder(context, entry.training)
    return folder / "timing" / f"{store.fingerprint(dict(entry.sample))}.json"
