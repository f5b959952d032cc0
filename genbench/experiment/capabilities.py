"""What a model may offer beyond samples: a likelihood, and passages to be shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from genbench import registry, store, suite
from genbench.api import Estimate, Event, Report
from genbench.api.errors import FAULTS, NonFiniteSamples, one_line
from genbench.devices.hardware import Host
from genbench.devices.ranks import Ranks
from genbench.experiment.context import Bench, open_cached
from genbench.experiment.stages import conditions, sampling_options, snapshot_options
from genbench.experiment.trained import Trained
from genbench.metrics.resampling import mean
from genbench.sampling import BLOCK, likelihood, passage
from genbench.sampling.passage import FORWARD, REVERSE, Passage
from genbench.suite import Entry
from genbench.training import checkpoint

BITS = "bits_per_dim"
SHOWN = 6
"""Samples that a report's passages follow; of what is no picture, as many as make a cloud."""
FRAMES = 10


def likelihood_score(
    ranks: Ranks, bench: Bench, trained: Trained, images: int, report: Report
) -> tuple[dict[str, Estimate], dict[str, str]]:
    """Bits per dimension of the reference under the averaged weights, where the suite asks for
    them, with the 95 % interval over the draw of the samples; or why there are none."""
    wanted = bench.score.likelihood
    if wanted is None:
        return {}, {}
    model = trained.model(images, "ema")
    if not likelihood.offered(model):
        return {}, {BITS: "the model offers no likelihood"}
    reference = open_cached(bench.score.reference, bench.host.data_dir)
    count = min(wanted.samples, len(reference))
    identity = suite.likelihood_identity(
        training=trained.identity,
        code=registry.models.code(trained.training.model),
        host=bench.host.sampling_identity(),
        snapshot=checkpoint.snapshot_hash(trained.folder, images, "ema"),
        reference=reference.id,
        samples=count,
        seed=trained.training.seed,
        version=likelihood.VERSION,
    )
    path = trained.folder / "likelihood" / f"{identity}.json"
    card = ranks.first(lambda: store.read_card(path))
    if card is None:
        bits = likelihood.bits_per_dim(
            ranks.fabric,
            model,
            reference,
            count=count,
            seed=trained.training.seed,
            report=report,
        )
        card = asdict(mean(bits))
        ranks.first(lambda: store.write_card(path, card))
    return {BITS: Estimate(**card)}, {}


def passages(
    ranks: Ranks, bench: Bench, trained: Trained, entries: Sequence[Entry], report: Report
) -> dict[str, str]:
    """Kind → file, relative to the output folder, of the passages that a report shows: sampled as
    the snapshots are, once a training. One that fails is told, and missing."""
    made: dict[str, str] = {}

    def keep(kind: str, show: Callable[[], Passage], options: Mapping[str, Any]) -> None:
        identity = store.fingerprint(
            {
                "training": trained.identity,
                "code": registry.models.code(trained.training.model),
                "host": bench.host.sampling_identity(),
                "snapshot": checkpoint.snapshot_hash(trained.folder, trained.last, "ema"),
                "kind": kind,
                "options": dict(options),
                "version": passage.VERSION,
            }
        )
        path = trained.folder / "passages" / f"{identity}.safetensors"
        if store.read_artefact(path) is None:
            shown = show()
            about = {"modality": trained.spec.modality, "levels": trained.spec.levels}
            data = store.pack_tensors({"frames": shown.frames})
            store.write_artefact(path, data, {"kind": shown.kind, **about})
        made[kind] = str(path.relative_to(bench.out))

    def make() -> dict[str, str]:
        options = snapshot_options(entries)
        count = SHOWN if trained.spec.modality == "image" else BLOCK
        for kind, show in (
            (REVERSE, lambda: reverse(ranks, bench.host, trained, options, count, FRAMES)),
            (FORWARD, lambda: forward(ranks, bench.host, trained, count, FRAMES)),
        ):
            if kind == FORWARD and not hasattr(trained.build(), "diffused"):
                continue
            try:
                keep(kind, show, options)
            except store.CannotWrite:
                raise
            except NonFiniteSamples:
                continue  # the record says that the run diverged
            except FAULTS as error:
                note = f"{trained.training.label}: no {kind} passage to show: {one_line(error)}"
                report(Event("show", 0, 1, note=note))
        return made

    return ranks.first(make)


def reverse(
    ranks: Ranks,
    host: Host,
    trained: Trained,
    options: Mapping[str, Any],
    count: int,
    frames: int,
) -> Passage:
    """Noise that becomes samples, by the averaged weights of the last good snapshot."""
    model = trained.model(trained.last, "ema")
    return passage.reverse(
        ranks.fabric,
        model,
        trained.spec,
        count=count,
        frames=frames,
        seed=trained.training.seed,
        options=sampling_options(model, f"model {trained.training.model!r}", options),
        given=conditions(host, trained, model),
    )


def forward(ranks: Ranks, host: Host, trained: Trained, count: int, frames: int) -> Passage:
    """Training samples that become noise."""
    data = open_cached(trained.training.dataset, host.data_dir)
    return passage.forward(
        ranks.fabric,
        trained.build(),
        data,
        count=count,
        frames=frames,
        seed=trained.training.seed,
    )
