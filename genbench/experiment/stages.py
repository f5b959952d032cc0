"""Draw and score: each is stored under its identity and done once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genbench import evaluation, registry, sampling, store, suite
from genbench.api import (
    Condition,
    Estimate,
    GenerativeModel,
    Output,
    ProgressCallback,
    ProgressEvent,
    Samples,
    SampleSpec,
    TensorSamples,
)
from genbench.api.errors import PLUGIN_EXCEPTIONS, NonFiniteSamples
from genbench.api.seeding import generator
from genbench.devices.hardware import Hardware
from genbench.devices.ranks import Ranks
from genbench.evaluation import Scorer, Scores
from genbench.experiment.context import RunContext, open_cached
from genbench.experiment.trained import Trained, builder
from genbench.suite import SeededEntry
from genbench.training import checkpoint


def sampling_options(
    model: GenerativeModel, what: str, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Every sampling option, checked against the signature of ``model.sample``."""
    return registry.check_options(what, model.sample, options)


def check_sampling(hardware: Hardware, entries: Sequence[SeededEntry]) -> None:
    """Raises ``UsageError`` for a sampling option that the model does not have, before anything is
    trained. A model whose plugin is at fault, or that cannot be built here, is left to its own
    row."""
    training = entries[0].training
    try:
        model = builder(training, open_cached(training.dataset, hardware.data_dir).spec)()
    except PLUGIN_EXCEPTIONS:
        return
    for entry in entries:
        for options in (entry.sample, entry.snapshot_sample):
            with suppress(registry.PluginError):
                sampling_options(model, f"entry {entry.name!r}, model {entry.model!r}", options)


def conditions(hardware: Hardware, trained: Trained, model: GenerativeModel) -> sampling.Given:
    """What each block of samples is conditioned on, as far as the model obeys it: the conditions of
    random training samples, whose classes are as frequent as they are in the data."""
    obeyed = sorted(getattr(model, "conditions", ()))
    if not obeyed:
        return lambda block: {}
    data = open_cached(trained.training.dataset, hardware.data_dir)

    def given(block: int) -> Condition:
        stream = generator(trained.training.seed, "condition", block)
        chosen = torch.randint(len(data), (sampling.BLOCK,), generator=stream)
        condition = data.take(chosen).condition
        return {name: condition[name].cpu() for name in obeyed}

    return given


def draw(
    ranks: Ranks,
    hardware: Hardware,
    trained: Trained,
    *,
    examples: int,
    weights: str,
    options: Mapping[str, Any],
    count: int,
    report: ProgressCallback,
) -> tuple[TensorSamples, dict[str, Any]]:
    """Samples and what they cost: drawn now, or read from an earlier draw; whole on every rank."""
    training = trained.training
    model = trained.model(examples, weights)
    resolved = sampling_options(model, f"model {training.model!r}", options)
    identity = suite.sampling_identity(
        training=trained.identity,
        code=registry.models.code(training.model),
        hardware=hardware.sampling_identity(),
        precision=training.precision,
        examples=examples,
        weights=weights,
        snapshot=checkpoint.snapshot_hash(trained.folder, examples, weights),
        options=resolved,
        seed=training.seed,
        count=count,
        version=sampling.VERSION,
    )
    path = trained.folder / "samples" / f"{identity}.safetensors"
    if not ranks.on_rank_zero(lambda: store.read_artefact(path) is not None):
        drawn = sampling.draw(
            ranks.fabric,
            model,
            trained.spec,
            count=count,
            seed=training.seed,
            options=resolved,
            report=report,
            given=conditions(hardware, trained, model),
        )
        cost = {"nfe": drawn.nfe, "flops": drawn.flops, "parameters": drawn.parameters}
        metadata = {
            "identity": identity,
            "options": resolved,
            "weights": weights,
            "examples": examples,
        }
        data = pack_samples(trained.spec, drawn.data, drawn.condition)
        ranks.on_rank_zero(lambda: store.write_artefact(path, data, {**metadata, **cost}))
        stored = data, {**metadata, **cost}
    else:
        stored = store.require_artefact(path)
    tensors = store.unpack_tensors(stored[0])
    drawn_samples = tensors.pop("samples")
    given = {name.removesuffix("s"): value for name, value in tensors.items()}
    return TensorSamples(trained.spec, f"generated@{identity}", drawn_samples, given), stored[1]


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
    metadata = ranks.on_rank_zero(lambda: store.read_metadata(path))
    if metadata is None:
        scores = scorer(samples, outputs, ranks)
        if not scores.faults:
            ranks.on_rank_zero(lambda: store.write_metadata(path, asdict(scores)))
        return identity, scores
    values = {name: Estimate(**value) for name, value in metadata["values"].items()}
    declared = {name: Output(**value) for name, value in metadata["outputs"].items()}
    return identity, Scores(**{**metadata, "values": values, "outputs": declared})


def snapshot_options(entries: Sequence[SeededEntry]) -> Mapping[str, Any]:
    """Of the entries that share a training, the first that gives cheap options decides."""
    return next((e.snapshot_sample for e in entries if e.snapshot_sample), entries[0].sample)


def snapshot_scores(
    ranks: Ranks,
    context: RunContext,
    trained: Trained,
    entries: Sequence[SeededEntry],
    report: ProgressCallback,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Quality along training, EMA and raw: ``{"examples", "weights", "scores"}`` a snapshot; and
    the outputs that a fault of their metric has cost.

    Where a sampler gives NaN or infinity the scores are ``None``. Empty where no metric is asked
    for along training.
    """
    plan = context.score.snapshots
    if not plan.metrics:
        return [], []
    options = snapshot_options(entries)
    scorer = context.scorer(trained.training.dataset, ranks)
    # Number 0 is the untrained model: scored only where nothing else is left.
    chosen = [examples for examples in trained.outcome.snapshots if examples > 0] or [0]
    curve = []
    faults: list[str] = []
    for done, (examples, weights) in enumerate([(i, w) for i in chosen for w in ("ema", "raw")]):
        report(ProgressEvent("snapshots", done, 2 * len(chosen)))
        values: dict[str, float | None]
        try:
            samples, _ = draw(
                ranks,
                context.hardware,
                trained,
                examples=examples,
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
        curve.append({"examples": examples, "weights": weights, "scores": values})
    return curve, faults


def pack_samples(spec: SampleSpec, data: Tensor, condition: Condition) -> bytes:
    """As ``genbench.io.arrays`` reads them: ``samples``, and ``labels`` where they have any."""
    metadata = {"modality": spec.modality}
    if spec.levels is not None:
        metadata["levels"] = str(spec.levels)
    if "label" in condition:
        metadata["classes"] = str(spec.condition["label"].count)
    beside = {f"{name}s": value for name, value in condition.items()}
    return store.pack_tensors({"samples": data, **beside}, metadata)


def quiet(event: ProgressEvent) -> None:
    """Reports nothing."""
