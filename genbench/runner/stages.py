"""Train, draw, score: each stage is stored under its identity and done once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from genbench import evaluation, registry, sampling, storage, suite
from genbench.errors import FAULTS, GenbenchError, NonFiniteSamples, UsageError, one_line
from genbench.evaluation import Scorer, Scores
from genbench.ranks import Ranks
from genbench.runner.bench import Bench, Host, open_cached
from genbench.runner.mending import RUN, mend
from genbench.suite import Entry, Training
from genbench.training import checkpoint, loop
from genbench.types import (
    Categorical,
    Estimate,
    Event,
    GenerativeModel,
    Report,
    Samples,
    SampleSpec,
    TensorSamples,
)


@dataclass(frozen=True)
class Trained:
    """A finished training, and how to get at its weights."""

    identity: str
    folder: Path
    outcome: loop.Outcome
    training: Training
    spec: SampleSpec
    build: Callable[[], GenerativeModel]

    @property
    def last(self) -> int:
        """The image count of the last good snapshot."""
        return self.outcome.snapshots[-1]

    def model(self, images: int, weights: str) -> GenerativeModel:
        """Raises ``storage.Damaged`` where the snapshot is, ``GenbenchError`` where it is another
        model's."""
        model = self.build()
        tensors = checkpoint.load_snapshot(self.folder, images, weights)
        try:
            model.load_state_dict(tensors)
        except RuntimeError as error:
            path = checkpoint.snapshot_path(self.folder, images, weights)
            what = one_line(error)[:200]
            raise GenbenchError(f"{path} holds another model's weights ({what})") from error
        return model


def train(ranks: Ranks, host: Host, training: Training, folder: Path, report: Report) -> Trained:
    """Train, resume, or find finished in ``folder`` what ``training`` describes.

    Raises ``UsageError`` when ``folder`` holds another training, or the batch cannot be shared.
    """
    data = open_cached(training.dataset, host.data_dir)
    identity = training_identity(host, training)
    build = builder(training, data.spec)
    build()  # what does not fit is told before anything is written
    if training.augment == "flip" and data.spec.modality != "image":
        raise UsageError(f"augment = 'flip' is for images, not for {data.spec.modality}")
    host.require_shares(training.batch)
    plan = loop.Plan(
        steps=training.steps,
        batch=training.batch,
        ema_halflife=training.ema_halflife,
        augment=training.augment,
        snapshots=training.snapshots,
        seed=training.seed,
    )
    with ExitStack() as held:

        def claim() -> loop.Outcome | None:
            storage.require_own(folder, RUN)
            said = f"waiting: another genbench is at {folder}"
            waits = Event("waiting", 0, 1, note=said)
            held.enter_context(storage.lock(folder, busy=lambda: report(waits)))
            about = description(host, training)
            mend(folder, about, report)
            card = storage.read_card(folder / RUN)
            if card is None:
                storage.write_card(folder / RUN, about)
            elif card["identity"] != identity:
                raise UsageError(
                    f"{folder} holds another training ({card['label']}), or one of another version "
                    "of its code; name a new folder"
                )
            return _whole(folder, report)

        outcome = ranks.first(claim)
        if outcome is None:
            outcome = loop.train(ranks.fabric, build, data, plan, folder, report)
    return Trained(identity, folder, outcome, training, data.spec, build)


def description(host: Host, training: Training) -> dict[str, Any]:
    """What ``run.json`` says; the identity first, where a file cut off still has it."""
    spec = open_cached(training.dataset, host.data_dir).spec
    return {
        "identity": training_identity(host, training),
        "label": training.label,
        "training": asdict(training),
        "spec": asdict(spec),
    }


def _whole(folder: Path, report: Report) -> loop.Outcome | None:
    """How the training ended; ``None`` while it has not, or where a part of it is gone."""
    outcome = loop.outcome(folder)
    for part in checkpoint.parts(folder, outcome.snapshots) if outcome else ():
        if not storage.card_path(part).exists():
            report(Event("damaged", 0, 1, note=f"{part} is missing; its training starts anew"))
            checkpoint.reopen(folder)
            return None
    if outcome is not None:
        checkpoint.clear_state(folder)  # a kill may have left it
    return outcome


def open_trained(folder: Path) -> Trained:
    """The finished training that ``folder`` holds. Raises ``UsageError`` when it holds none, or one
    that this version cannot read; ``storage.Damaged``."""
    card = storage.read_card(folder / RUN)
    outcome = None if card is None else loop.outcome(folder)
    if card is None or outcome is None:
        raise UsageError(f"{folder} holds no finished training; see genbench train --help")
    try:
        training = Training(**card["training"])
        spec = _spec(card["spec"])
        identity = card["identity"]
    except (AttributeError, KeyError, TypeError) as error:
        raise UsageError(
            f"{folder / RUN} is not of this version of genbench: {one_line(error)}"
        ) from error
    return Trained(identity, folder, outcome, training, spec, builder(training, spec))


def run_folder(bench: Bench, training: Training) -> Path:
    identity = training_identity(bench.host, training)
    return bench.out / "runs" / f"{training.model}-seed{training.seed}-{identity[:8]}"


def training_identity(host: Host, training: Training) -> str:
    return suite.training_identity(
        training,
        dataset=open_cached(training.dataset, host.data_dir).id,
        code=registry.models.code(training.model),
        host=host.identity(),
    )


def builder(training: Training, spec: SampleSpec) -> Callable[[], GenerativeModel]:
    """What builds the model of a training. Raises as its factory does."""
    factory = registry.models.get(training.model)
    return partial(factory, spec, **training.options)


def sampling_options(
    model: GenerativeModel, what: str, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Every sampling option, checked against the signature of ``model.sample``."""
    return registry.check_options(what, model.sample, options)


def check_sampling(host: Host, entries: Sequence[Entry]) -> None:
    """Raises ``UsageError`` for a sampling option that the model does not have, before anything is
    trained. A model whose plugin is at fault, or that cannot be built here, is left to its own
    row."""
    training = entries[0].training
    try:
        model = builder(training, open_cached(training.dataset, host.data_dir).spec)()
    except FAULTS:
        return
    for entry in entries:
        for options in (entry.sample, entry.snapshot_sample):
            with suppress(registry.PluginError):
                sampling_options(model, f"entry {entry.name!r}, model {entry.model!r}", options)


def draw(
    ranks: Ranks,
    host: Host,
    trained: Trained,
    *,
    images: int,
    weights: str,
    options: Mapping[str, Any],
    count: int,
    report: Report,
) -> tuple[TensorSamples, dict[str, Any]]:
    """Samples and what they cost: drawn now, or read from an earlier draw; whole on every rank."""
    training = trained.training
    model = trained.model(images, weights)
    resolved = sampling_options(model, f"model {training.model!r}", options)
    identity = suite.sampling_identity(
        training=trained.identity,
        code=registry.models.code(training.model),
        host=host.sampling_identity(),
        precision=training.precision,
        images=images,
        weights=weights,
        snapshot=checkpoint.snapshot_hash(trained.folder, images, weights),
        options=resolved,
        seed=training.seed,
        count=count,
        version=sampling.VERSION,
    )
    path = trained.folder / "samples" / f"{identity}.safetensors"
    if not ranks.first(lambda: storage.read_artefact(path) is not None):
        drawn = sampling.draw(
            ranks.fabric,
            model,
            trained.spec,
            count=count,
            seed=training.seed,
            options=resolved,
            report=report,
        )
        cost = {"nfe": drawn.nfe, "flops": drawn.flops, "parameters": drawn.parameters}
        card = {"identity": identity, "options": resolved, "weights": weights, "images": images}
        data = pack_samples(drawn.data, trained.spec)
        ranks.first(lambda: storage.write_artefact(path, data, {**card, **cost}))
        stored = data, {**card, **cost}
    else:
        stored = storage.require_artefact(path)
    tensor = storage.unpack_tensors(stored[0])["samples"]
    return TensorSamples(trained.spec, f"generated@{identity}", tensor), stored[1]


def scored(
    ranks: Ranks,
    scorer: Scorer,
    folder: Path,
    samples: Samples,
    outputs: Sequence[str] | None = None,
) -> tuple[str, Scores]:
    """The scoring's identity and the scores of ``samples``: computed now, or read. Those with a
    fault are not kept: a repair of what a metric rests on need not change the identity."""
    identity = suite.scoring_identity(
        samples=samples.id,
        protocol=scorer.protocol(len(samples), outputs),
        code=scorer.code(outputs),
        seed=scorer.seed,
        version=evaluation.VERSION,
    )
    path = folder / "scores" / f"{identity}.json"
    card = ranks.first(lambda: storage.read_card(path))
    if card is None:
        scores = scorer(samples, outputs, ranks)
        if not scores.faults:
            ranks.first(lambda: storage.write_card(path, asdict(scores)))
        return identity, scores
    values = {name: Estimate(**value) for name, value in card["values"].items()}
    return identity, Scores(**{**card, "values": values})


def snapshot_options(entries: Sequence[Entry]) -> Mapping[str, Any]:
    """Of the entries that share a training, the first that gives cheap options decides."""
    return next((e.snapshot_sample for e in entries if e.snapshot_sample), entries[0].sample)


def snapshot_scores(
    ranks: Ranks, bench: Bench, trained: Trained, entries: Sequence[Entry], report: Report
) -> tuple[list[dict[str, Any]], list[str]]:
    """Quality along training, EMA and raw: ``{"images", "weights", "scores"}`` a snapshot; and the
    outputs that a fault of their metric has cost.

    Where a sampler gives NaN or infinity the scores are ``None``.
    """
    plan = bench.score.snapshots
    options = snapshot_options(entries)
    scorer = bench.scorer(trained.training.dataset, ranks)
    # Number 0 is the untrained model: scored only where nothing else is left.
    chosen = [images for images in trained.outcome.snapshots if images > 0] or [0]
    curve = []
    faults: list[str] = []
    for done, (images, weights) in enumerate([(i, w) for i in chosen for w in ("ema", "raw")]):
        report(Event("snapshots", done, 2 * len(chosen)))
        values: dict[str, float | None]
        try:
            samples, _ = draw(
                ranks,
                bench.host,
                trained,
                images=images,
                weights=weights,
                options=options,
                count=plan.samples,
                report=quiet,
            )
            _, scores = scored(ranks, scorer, trained.folder, samples, plan.metrics)
            values = {name: estimate.value for name, estimate in scores.values.items()}
            faults += [name for name in scores.faults if name not in faults]
        except NonFiniteSamples:
            values = dict.fromkeys(plan.metrics)
        curve.append({"images": images, "weights": weights, "scores": values})
    return curve, faults


def _spec(card: Mapping[str, Any]) -> SampleSpec:
    condition = {name: Categorical(**value) for name, value in card["condition"].items()}
    return SampleSpec(card["modality"], tuple(card["shape"]), card["levels"], condition)


def pack_samples(data: Tensor, spec: SampleSpec) -> bytes:
    metadata = {"modality": spec.modality}
    if spec.levels is not None:
        metadata["levels"] = str(spec.levels)
    return storage.pack_tensors({"samples": data}, metadata)


def quiet(event: Event) -> None:
    """Reports nothing."""
