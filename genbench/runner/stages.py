"""Train, draw, score: each stage is stored under its identity and done once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from genbench import evaluation, registry, sampling, storage, suite
from genbench.errors import NonFiniteSamples, UsageError
from genbench.evaluation import Scorer, Scores
from genbench.runner.bench import Bench, Host, open_cached
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

RUN = "run.json"
"""What a run folder is for: written before its training starts."""


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
        model = self.build()
        model.load_state_dict(checkpoint.load_snapshot(self.folder, images, weights))
        return model


def train(host: Host, training: Training, folder: Path, report: Report) -> Trained:
    """Train, resume, or find finished in ``folder`` what ``training`` describes.

    Raises ``UsageError`` when ``folder`` holds another training.
    """
    data = open_cached(training.dataset, host.data_dir)
    identity = training_identity(host, training)
    build = builder(training, data.spec)
    build()  # what does not fit is told before anything is written
    if training.augment == "flip" and data.spec.modality != "image":
        raise UsageError(f"augment = 'flip' is for images, not for {data.spec.modality}")
    plan = loop.Plan(
        steps=training.steps,
        batch=training.batch,
        ema_halflife=training.ema_halflife,
        augment=training.augment,
        snapshots=training.snapshots,
        seed=training.seed,
    )
    storage.require_own(folder, RUN)
    with storage.lock(folder):
        card = storage.read_card(folder / RUN)
        if card is None:
            about = {"identity": identity, "label": training.label, "training": asdict(training)}
            storage.write_card(folder / RUN, about | {"spec": asdict(data.spec)})
        elif card["identity"] != identity:
            raise UsageError(
                f"{folder} holds another training ({card['label']}), or one of another version of "
                "its code; name a new folder"
            )
        outcome = loop.outcome(folder)
        if outcome is None:
            fabric = host.fabric(training.precision)
            outcome = loop.train(fabric, build, data, plan, folder, report)
    return Trained(identity, folder, outcome, training, data.spec, build)


def open_trained(folder: Path) -> Trained:
    """The finished training that ``folder`` holds. Raises ``UsageError`` when it holds none."""
    card = storage.read_card(folder / RUN)
    outcome = None if card is None else loop.outcome(folder)
    if card is None or outcome is None:
        raise UsageError(f"{folder} holds no finished training; see genbench train --help")
    training = Training(**card["training"])
    spec = _spec(card["spec"])
    build = builder(training, spec)
    return Trained(card["identity"], folder, outcome, training, spec, build)


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
    trained. A model that cannot be built here is left to its own row."""
    training = entries[0].training
    try:
        model = builder(training, open_cached(training.dataset, host.data_dir).spec)()
    except Exception:
        return
    for entry in entries:
        for options in (entry.sample, entry.snapshot_sample):
            sampling_options(model, f"entry {entry.name!r}, model {entry.model!r}", options)


def draw(
    host: Host,
    trained: Trained,
    *,
    images: int,
    weights: str,
    options: Mapping[str, Any],
    count: int,
    report: Report,
) -> tuple[TensorSamples, dict[str, Any]]:
    """Samples and what they cost: drawn now, or read from an earlier draw."""
    training = trained.training
    model = trained.model(images, weights)
    resolved = sampling_options(model, f"model {training.model!r}", options)
    identity = suite.sampling_identity(
        training=trained.identity,
        code=registry.models.code(training.model),
        host=host.identity(),
        images=images,
        weights=weights,
        options=resolved,
        seed=training.seed,
        count=count,
        version=sampling.VERSION,
    )
    path = trained.folder / "samples" / f"{identity}.safetensors"
    stored = _artefact_or_none(path)
    if stored is None:
        drawn = sampling.draw(
            host.fabric(training.precision),
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
        storage.write_artefact(path, data, {**card, **cost})
        stored = data, {**card, **cost}
    tensor = storage.unpack_tensors(stored[0])["samples"]
    return TensorSamples(trained.spec, f"generated@{identity}", tensor), stored[1]


def scored(
    scorer: Scorer, folder: Path, samples: Samples, outputs: Sequence[str] | None = None
) -> tuple[str, Scores]:
    """The scoring's identity and the scores of ``samples``: computed now, or read."""
    identity = suite.scoring_identity(
        samples=samples.id,
        protocol=scorer.protocol(len(samples), outputs),
        code=scorer.code(outputs),
        seed=scorer.seed,
        version=evaluation.VERSION,
    )
    path = folder / "scores" / f"{identity}.json"
    card = read_or_none(path)
    if card is None:
        card = asdict(scorer(samples, outputs))
        storage.write_card(path, card)
    values = {name: Estimate(**value) for name, value in card["values"].items()}
    return identity, Scores(values, card["skipped"], card["better"], card["protocol"])


def snapshot_options(entries: Sequence[Entry]) -> Mapping[str, Any]:
    """Of the entries that share a training, the first that gives cheap options decides."""
    return next((e.snapshot_sample for e in entries if e.snapshot_sample), entries[0].sample)


def snapshot_scores(
    bench: Bench, trained: Trained, entries: Sequence[Entry], report: Report
) -> list[dict[str, Any]]:
    """Quality along training, EMA and raw: ``{"images", "weights", "scores"}`` a snapshot.

    Where a sampler gives NaN or infinity the scores are ``None``.
    """
    plan = bench.score.snapshots
    options = snapshot_options(entries)
    scorer = bench.scorer(trained.training.dataset)
    # Number 0 is the untrained model: scored only where nothing else is left.
    chosen = [images for images in trained.outcome.snapshots if images > 0] or [0]
    curve = []
    for done, (images, weights) in enumerate([(i, w) for i in chosen for w in ("ema", "raw")]):
        report(Event("snapshots", done, 2 * len(chosen)))
        values: dict[str, float | None]
        try:
            samples, _ = draw(
                bench.host,
                trained,
                images=images,
                weights=weights,
                options=options,
                count=plan.samples,
                report=quiet,
            )
            _, scores = scored(scorer, trained.folder, samples, plan.metrics)
            values = {name: estimate.value for name, estimate in scores.values.items()}
        except NonFiniteSamples:
            values = dict.fromkeys(plan.metrics)
        curve.append({"images": images, "weights": weights, "scores": values})
    return curve


def _spec(card: Mapping[str, Any]) -> SampleSpec:
    condition = {name: Categorical(**value) for name, value in card["condition"].items()}
    return SampleSpec(card["modality"], tuple(card["shape"]), card["levels"], condition)


def pack_samples(data: Tensor, spec: SampleSpec) -> bytes:
    metadata = {"modality": spec.modality}
    if spec.levels is not None:
        metadata["levels"] = str(spec.levels)
    return storage.pack_tensors({"samples": data}, metadata)


def read_or_none(path: Path) -> dict[str, Any] | None:
    """A card, or ``None`` where there is none or it is damaged: its content is then made anew."""
    try:
        return storage.read_card(path)
    except storage.Damaged:
        return None


def _artefact_or_none(path: Path) -> tuple[bytes, dict[str, Any]] | None:
    try:
        return storage.read_artefact(path)
    except storage.Damaged:
        return None


def quiet(event: Event) -> None:
    """Reports nothing."""
