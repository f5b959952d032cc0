"""What sampling costs in seconds, measured while nothing else runs."""

from __future__ import annotations

import torch

from genbench import sampling, store
from genbench.experiment.conditions import conditions
from genbench.experiment.context import RunContext
from genbench.experiment.stages import sampling_options
from genbench.experiment.trained import open_trained, run_folder
from genbench.suite import SeededEntry


def seconds_per_sample(context: RunContext, entry: SeededEntry) -> float:
    """Wall-clock of one block over its size; to be called while nothing else runs."""
    folder = run_folder(context, entry.training)
    path = folder / "timing" / f"{store.fingerprint(dict(entry.sample))}.json"
    metadata = store.read_metadata(path)
    if metadata is None:
        torch.set_num_threads(entry.training.threads)
        trained = open_trained(folder)
        model = trained.model(trained.last, "ema")
        what = f"model {entry.model!r}"
        fabric = context.hardware.alone().fabric(entry.training.precision)
        options = sampling_options(model, what, entry.sample)
        warm = sampling_options(model, what, entry.snapshot_sample or entry.sample)
        given = conditions(context.hardware, trained, model, context.prompts)
        for timed in (warm, options):
            seconds = sampling.seconds_per_block(fabric, model, trained.spec, timed, given)
        metadata = {"seconds_per_sample": seconds / sampling.BLOCK}
        store.write_metadata(path, metadata)
    return float(metadata["seconds_per_sample"])
