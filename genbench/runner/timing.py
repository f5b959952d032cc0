"""What sampling costs in seconds, measured while nothing else runs."""

from __future__ import annotations

import torch

from genbench import sampling, storage
from genbench.runner.bench import Bench
from genbench.runner.stages import quiet, read_or_none, run_folder, sampling_options, train
from genbench.suite import Entry


def seconds_per_sample(bench: Bench, entry: Entry) -> float:
    """Wall-clock of one block over its size; to be called while nothing else runs."""
    folder = run_folder(bench, entry.training)
    path = folder / "timing" / f"{storage.fingerprint(dict(entry.sample))}.json"
    card = read_or_none(path)
    if card is None:
        torch.set_num_threads(entry.training.threads)
        trained = train(bench.host, entry.training, folder, quiet)
        model = trained.model(trained.last, "ema")
        what = f"model {entry.model!r}"
        fabric = bench.host.fabric(entry.training.precision)
        options = sampling_options(model, what, entry.sample)
        warm = sampling_options(model, what, entry.snapshot_sample or entry.sample)
        for timed in (warm, options):
            seconds = sampling.seconds_per_block(fabric, model, trained.spec, timed)
        card = {"seconds_per_sample": seconds / sampling.BLOCK}
        storage.write_card(path, card)
    return float(card["seconds_per_sample"])
