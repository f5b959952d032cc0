"""What a model may offer beyond samples: a likelihood, and trajectories to be shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from genbench import registry, store, suite
from genbench.api import Estimate, ProgressCallback, ProgressEvent
from genbench.api.errors import PLUGIN_EXCEPTIONS, NonFiniteSamples, one_line
from genbench.api.metrics import LIKELIHOOD
from genbench.devices.hardware import Hardware
from genbench.devices.ranks import Ranks
from genbench.experiment.context import RunContext, open_cached
from genbench.experiment.stages import conditions, sampling_options, snapshot_options
from genbench.experiment.trained import Trained
from genbench.metrics.resampling import mean
from genbench.sampling import BLOCK, likelihood, trajectories
from genbench.sampling.trajectories import FORWARD, REVERSE, Trajectory
from genbench.suite import SeededEntry
from genbench.training import checkpoint

SHOWN = 6
"""Samples that a report's trajectories follow; of what is no picture, as many as make a cloud."""
FRAMES = 10


def likelihood_score(
    ranks: Ranks, context: RunContext, trained: Trained, examples: int, report: ProgressCallback
) -> tuple[dict[str, Estimate], dict[str, str]]:
    """Bits per dimension of the reference under the averaged weights, where the suite asks for
    them, with the 95 % interval over the draw of the samples; or why there are none."""
    wanted = context.score.likelihood
    if wanted is None:
        return {}, {}
    model = trained.model(examples, "ema")
    if not likelihood.offered(model):
        return {}, {LIKELIHOOD: "the model offers no likelihood"}
    reference = open_cached(context.score.reference, context.hardware.data_dir)
    count = min(wanted.samples, len(reference))
    identity = suite.likelihood_identity(
        training=trained.identity,
        code=registry.models.code(trained.training.model),
        hardware=context.hardware.sampling_identity(),
        snapshot=checkpoint.snapshot_hash(trained.folder, examples, "ema"),
        reference=reference.id,
        samples=count,
        seed=trained.training.seed,
        version=likelihood.VERSION,
    )
    path = trained.folder / "likelihood" / f"{identity}.json"
    metadata = ranks.on_rank_zero(lambda: store.read_metadata(path))
    if metadata is None:
        bits = likelihood.bits_per_dim(
            ranks.fabric,
            model,
            reference,
            count=count,
            seed=trained.training.seed,
            report=report,
        )
        metadata = asdict(mean(bits))
        ranks.on_rank_zero(lambda: store.write_metadata(path, metadata))
    return {LIKELIHOOD: Estimate(**metadata)}, {}


def stored_trajectories(
    ranks: Ranks,
    context: RunContext,
    trained: Trained,
    entries: Sequence[SeededEntry],
    report: ProgressCallback,
) -> dict[str, str]:
    """Kind → file, relative to the output folder, of the trajectories that a report shows: sampled
    as the snapshots are, once a training. One that fails is reported, and missing."""
    made: dict[str, str] = {}

    def keep(kind: str, show: Callable[[], Trajectory], options: Mapping[str, Any]) -> None:
        identity = store.fingerprint(
            {
                "training": trained.identity,
                "code": registry.models.code(trained.training.model),
                "hardware": context.hardware.sampling_identity(),
                "snapshot": checkpoint.snapshot_hash(trained.folder, trained.last, "ema"),
                "kind": kind,
                "options": dict(options),
                "version": trajectories.VERSION,
            }
        )
        path = trained.folder / "trajectories" / f"{identity}.safetensors"
        if store.read_artefact(path) is None:
            shown = show()
            about = {"modality": trained.spec.modality, "levels": trained.spec.levels}
            data = store.pack_tensors({"frames": shown.frames})
            store.write_artefact(path, data, {"kind": shown.kind, **about})
        made[kind] = str(path.relative_to(context.out))

    def make() -> dict[str, str]:
        options = snapshot_options(entries)
        count = SHOWN if trained.spec.modality == "image" else BLOCK
        for kind, show in (
            (REVERSE, lambda: reverse(ranks, context.hardware, trained, options, count, FRAMES)),
            (FORWARD, lambda: forward(ranks, context.hardware, trained, count, FRAMES)),
        ):
            if kind == FORWARD and not hasattr(trained.build(), "diffused"):
                continue
            try:
                keep(kind, show, options)
            except store.CannotWrite:
                raise
            except NonFiniteSamples:
                continue  # the record says that the run diverged
            except PLUGIN_EXCEPTIONS as error:
                note = f"{trained.training.label}: no {kind} trajectory to show: {one_line(error)}"
                report(ProgressEvent("show", 0, 1, note=note))
        return made

    return ranks.on_rank_zero(make)


def reverse(
    ranks: Ranks,
    hardware: Hardware,
    trained: Trained,
    options: Mapping[str, Any],
    count: int,
    frames: int,
) -> Trajectory:
    """Noise that becomes samples, by the averaged weights of the last good snapshot."""
    model = trained.model(trained.last, "ema")
    return trajectories.reverse(
        ranks.fabric,
        model,
        trained.spec,
        count=count,
        frames=frames,
        seed=trained.training.seed,
        options=sampling_options(model, f"model {trained.training.model!r}", options),
        given=conditions(hardware, trained, model),
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
