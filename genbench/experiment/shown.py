"""Files for the report: a training's trajectories, and its samples beside the nearest real ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from genbench import modalities, store
from genbench.api import ProgressCallback, ProgressEvent, Samples, TensorSamples
from genbench.api.errors import NonFiniteSamples, one_line
from genbench.devices.hardware import Hardware
from genbench.devices.ranks import Fault, Ranks, attempt
from genbench.evaluation import Scorer, embed
from genbench.experiment.asked import in_words
from genbench.experiment.conditions import conditions
from genbench.experiment.context import RunContext, open_cached, prompts_inputs
from genbench.experiment.imported import source_of
from genbench.experiment.stage_table import NEIGHBOURS, TRAJECTORIES
from genbench.experiment.stages import (
    sampling_options,
    snapshot_inputs,
    snapshot_options,
)
from genbench.experiment.trained import Trained, compile_for_sampling
from genbench.metrics.distances import euclidean
from genbench.sampling import BLOCK, trajectories
from genbench.sampling.trajectories import FORWARD, REVERSE, Trajectory
from genbench.suite import Prompts, SeededEntry

FRAMES = 10
"""Frames of a trajectory in a report."""
BESIDE = 8
"""Samples that are shown beside their nearest training samples."""


def stored_trajectories(
    ranks: Ranks,
    context: RunContext,
    trained: Trained,
    entries: Sequence[SeededEntry],
    report: ProgressCallback,
) -> dict[str, str]:
    """Kind → file, relative to the output folder, of the trajectories that a report shows: sampled
    as the snapshots are, once a training. One that fails is reported, and missing. Imported samples
    have none."""
    model = trained.build()
    if source_of(model) is not None:
        return {}
    options = snapshot_options(entries)
    modality = modalities.find(trained.spec)
    count = BLOCK if modality is None else modality.followed
    hardware, prompts = context.hardware, context.prompts
    shows: dict[str, Callable[[], Trajectory]] = {
        REVERSE: lambda: reverse(ranks, hardware, trained, options, count, FRAMES, prompts)
    }
    if hasattr(model, "diffused"):
        shows[FORWARD] = lambda: forward(ranks, hardware, trained, count, FRAMES)
    made: dict[str, str] = {}
    for kind, show in shows.items():
        inputs = {
            **snapshot_inputs(hardware, trained, trained.last, "ema", options),
            "kind": kind,
            "options": dict(options),
            "count": count,
            "frames": FRAMES,
            "prompts": prompts_inputs(prompts, hardware),
        }

        def compute(show: Callable[[], Trajectory] = show) -> store.Contents:
            shown = show()
            about = {"kind": shown.kind, **modalities.description(trained.spec)}
            if shown.kind != FORWARD:
                given = conditions(hardware, trained, model, prompts)
                about["asked"] = in_words(trained.spec, given.batch(count))
            return store.pack_tensors({"frames": shown.frames}), about

        once = partial(TRAJECTORIES.once, ranks, trained.folder, inputs, compute)
        found = attempt(ranks, once)
        if not isinstance(found, Fault):
            made[kind] = str(found.path.relative_to(context.out))
        elif not isinstance(found.error, NonFiniteSamples):  # of which the record tells
            said = one_line(found.error)
            note = f"{trained.training.label}: no {kind} trajectory to show: {said}"
            report(ProgressEvent("show", 0, 1, note=note))
    return made


def reverse(
    ranks: Ranks,
    hardware: Hardware,
    trained: Trained,
    options: Mapping[str, Any],
    count: int,
    frames: int,
    prompts: Prompts | None = None,
) -> Trajectory:
    """Noise that becomes samples, by the averaged weights of the last good snapshot."""
    model = trained.model(trained.last, "ema")
    resolved = sampling_options(model, f"model {trained.training.model!r}", options)
    compile_for_sampling(hardware, trained, model, resolved, "trajectories")
    given = conditions(hardware, trained, model, prompts)
    return trajectories.reverse(
        ranks.fabric,
        model,
        trained.spec,
        count=count,
        frames=frames,
        seed=trained.training.seed,
        options=resolved,
        given=given,
        texts=given.texts_of,
    )


def forward(
    ranks: Ranks, hardware: Hardware, trained: Trained, count: int, frames: int
) -> Trajectory:
    """Training samples that become noise."""
    data = open_cached(trained.training.dataset, hardware.data_dir)
    return trajectories.forward(
        ranks.fabric,
        trained.build(),
        data,
        count=count,
        frames=frames,
        seed=trained.training.seed,
    )


@torch.no_grad()
def neighbours(
    ranks: Ranks, scorer: Scorer, folder: Path, scoring: str, samples: Samples
) -> Path | None:
    """The file of the first ``BESIDE`` of ``samples`` and of their nearest training samples, made
    now or before; ``None`` if no metric looks at the training set's features, which then would
    be embedded for this alone.

    Nearest by the Euclidean distance in the extractor's space. The file holds ``samples`` and
    ``neighbours``, ``(n, *shape)`` in the stored view, and ``distances``, ``(n,)`` float64.
    ``scoring`` names how ``samples`` are scored, and so themselves, the training set and the
    extractor.
    """
    if "features" not in scorer.training_needs():
        return None
    train = scorer.train
    assert train is not None

    def compute() -> store.Contents:
        batch = samples.take(torch.arange(min(BESIDE, len(samples))))
        identity = f"{samples.id}[:{BESIDE}]"
        few = TensorSamples(samples.spec, identity, batch.data, batch.condition, batch.texts)
        (own,) = embed(few, scorer.extractor, scorer.device, ranks, {"features"})
        distances = torch.cat(
            [
                euclidean(own["features"], part["features"])
                for part in scorer.training_features(ranks)
            ],
            dim=1,
        )
        nearest, number = distances.cpu().min(dim=1)
        tensors = {
            "samples": few.data,
            "neighbours": train.take(number).data,
            "distances": nearest,
        }
        return store.pack_tensors(tensors), modalities.description(samples.spec)

    return NEIGHBOURS.once(ranks, folder, {"scoring": scoring, "count": BESIDE}, compute).path
