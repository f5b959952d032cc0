"""What is computed from a training's weights, each once: samples, scores, likelihood, timing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from genbench import registry, sampling, store
from genbench.api import (
    Estimate,
    GenerativeModel,
    ProgressCallback,
    ProgressEvent,
    Samples,
    TensorSamples,
)
from genbench.api.errors import NonFiniteSamples
from genbench.api.metrics import LIKELIHOOD as BITS_PER_DIM
from genbench.devices.hardware import Hardware
from genbench.devices.ranks import ALONE, Ranks
from genbench.evaluation import Scorer, Scores
from genbench.evaluation.scores import finite
from genbench.experiment.conditions import conditions
from genbench.experiment.context import RunContext, open_cached, prompts_inputs
from genbench.experiment.imported import (
    imported,
    imported_conditions,
    require_imported,
    source_of,
)
from genbench.experiment.stage_table import LIKELIHOOD, SAMPLES, SCORES, TIMING
from genbench.experiment.trained import (
    Trained,
    builder,
    compile_for_sampling,
    open_trained,
    require_compilable,
    run_folder,
    training_identity,
)
from genbench.io.arrays import pack_samples, unpack_samples
from genbench.metrics.resampling import mean
from genbench.sampling import likelihood
from genbench.store.records import Record, score_of
from genbench.suite import Prompts, SeededEntry
from genbench.training import checkpoint


def sampling_options(
    model: GenerativeModel, what: str, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Every sampling option, checked against the signature of ``model.sample``."""
    return registry.check_options(what, model.sample, options)


def check_sampling(context: RunContext, entries: Sequence[SeededEntry]) -> None:
    """Raises ``UsageError`` for a sampling option that the model does not have, for networks that
    are to be compiled and cannot be, and for imported samples that do not fit, before anything is
    trained. A model whose plugin is at fault, or that cannot be built here, is left to its own
    row."""
    hardware, training = context.hardware, entries[0].training
    try:
        model = builder(training, open_cached(training.dataset, hardware.data_dir).spec)()
    except KeyboardInterrupt:
        raise
    except BaseException:
        return
    named = f"entry {entries[0].name!r}, model {entries[0].model!r},"
    require_compilable(hardware, training, model, named)
    require_imported(context, training, model)
    for entry in entries:
        for options in (entry.sample, entry.snapshot_sample):
            with suppress(registry.PluginError):
                sampling_options(model, f"entry {entry.name!r}, model {entry.model!r}", options)


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
    prompts: Prompts | None = None,
) -> tuple[TensorSamples, dict[str, Any]]:
    """Samples and their cost, drawn now or read from the store; all of them on every rank."""
    training = trained.training
    model = trained.model(examples, weights)
    resolved = sampling_options(model, f"model {training.model!r}", options)
    inputs = {
        **snapshot_inputs(hardware, trained, examples, weights, resolved),
        "precision": training.precision,
        "examples": examples,
        "weights": weights,
        "options": resolved,
        "seed": training.seed,
        "count": count,
        "prompts": prompts_inputs(prompts, hardware),
        "codec": sampling.codec_id(model),
    }

    about = {
        "identity": SAMPLES.identity(inputs),
        "options": resolved,
        "weights": weights,
        "examples": examples,
    }

    def compute() -> store.Contents:
        if source_of(model) is not None:
            samples = imported(hardware, training, model, prompts, count)
            cost = dict.fromkeys(("nfe", "flops", "parameters"))
            return pack_samples(samples), about | cost | imported_conditions(hardware, model)
        compile_for_sampling(hardware, trained, model, resolved)
        given = conditions(hardware, trained, model, prompts)
        drawn = sampling.draw(
            ranks.fabric,
            model,
            trained.spec,
            count=count,
            seed=training.seed,
            options=resolved,
            report=report,
            given=given,
            texts=given.texts_of,
        )
        metadata = {
            **about,
            "nfe": drawn.nfe,
            "flops": drawn.flops,
            "parameters": drawn.parameters,
        }
        if (codec := sampling.codec_of(model)) is not None:
            metadata["codec"] = {"id": codec.id, "licence": codec.licence}
        texts = given.texts(count)
        samples = TensorSamples(trained.spec, "", drawn.data, drawn.condition, texts)
        return pack_samples(samples), metadata

    made = SAMPLES.once(ranks, trained.folder, inputs, compute)
    data, metadata = made.value
    samples = unpack_samples(data, trained.spec, f"generated@{made.identity}")
    return samples, {**metadata, "obeys": sorted(samples.condition)}


def snapshot_inputs(
    hardware: Hardware,
    trained: Trained,
    examples: int,
    weights: str,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The inputs of everything that is computed from a snapshot: see ``stage_table.SNAPSHOT``.
    ``options`` of sampling may name a registered sampler, whose code then is part of it."""
    sampler = (options or {}).get("sampler")
    name = sampler.get("name") if isinstance(sampler, Mapping) else sampler
    codes = [registry.models.code(trained.training.model).identity]
    if name in registry.samplers.names():
        codes.append(registry.samplers.code(name).identity)
    return {
        "training": trained.identity,
        "code": codes,
        "hardware": hardware.sampling_identity(),
        "snapshot": checkpoint.snapshot_hash(trained.folder, examples, weights),
    }


def scored(
    ranks: Ranks,
    scorer: Scorer,
    folder: Path,
    samples: Samples,
    outputs: Sequence[str] | None = None,
) -> tuple[str, Scores]:
    """The scoring's identity and the scores of ``samples``: computed now, or read. ``outputs``: by
    default all that the suite asks for."""
    outputs = tuple(outputs or scorer.outputs)
    inputs = {
        "samples": samples.id,
        "protocol": scorer.protocol(len(samples), outputs),
        "code": scorer.code(outputs),
        "outputs": sorted(set(outputs)),
    }
    made = SCORES.once(ranks, folder, inputs, lambda: scorer(samples, outputs, ranks))
    values = made.value.values  # as they were asked for at first, in whatever order
    names = [name for name in outputs if name in values]
    in_order = {name: values[name] for name in names}
    declared = {name: made.value.outputs[name] for name in names}
    return made.identity, replace(made.value, values=in_order, outputs=declared)


def with_scores(base: Record, identity: str, scores: Scores) -> Record:
    """A row that belongs to no entry, with what ``scored`` gives."""
    return replace(
        base,
        scores={name: score_of(estimate) for name, estimate in scores.values.items()},
        outputs=scores.outputs,
        skipped_metrics=scores.skipped,
        faults=scores.faults,
        identities={"scoring": identity},
    )


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
        return {}, {BITS_PER_DIM: "the model offers no likelihood"}
    reference = open_cached(context.score.reference, context.hardware.data_dir)
    count = min(wanted.samples, len(reference))
    seed = trained.training.seed
    inputs = {
        **snapshot_inputs(context.hardware, trained, examples, "ema"),
        "reference": reference.id,
        "count": count,
        "seed": seed,
    }

    def compute() -> Estimate:
        return mean(
            likelihood.bits_per_dim(
                ranks.fabric, model, reference, count=count, seed=seed, report=report
            )
        )

    return finite({BITS_PER_DIM: LIKELIHOOD.once(ranks, trained.folder, inputs, compute).value})


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
    the outputs whose metric failed. If a sampler gives NaN or infinity, the scores are ``None``.
    Empty if no metric is computed along training, and for imported samples.
    """
    plan = context.score.snapshots
    if not plan.metrics or source_of(trained.build()) is not None:
        return [], []
    options = snapshot_options(entries)
    scorer = context.scorer(trained.training.dataset, ranks)
    # Number 0 is the untrained model: scored only where nothing else is left.
    chosen = [examples for examples in trained.result.snapshots if examples > 0] or [0]
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
                prompts=context.prompts,
            )
            _, scores = scored(ranks, scorer, trained.folder, samples, plan.metrics)
            values = {name: estimate.value for name, estimate in scores.values.items()}
            faults += [name for name in scores.faults if name not in faults]
        except NonFiniteSamples:
            values = dict.fromkeys(plan.metrics)
        curve.append({"examples": examples, "weights": weights, "scores": values})
    return curve, faults


def seconds_per_sample(context: RunContext, entry: SeededEntry) -> float:
    """Wall-clock of one block over its size; to be called while nothing else runs."""
    training, hardware = entry.training, context.hardware
    folder = run_folder(context, training)

    def measure() -> float:
        torch.set_num_threads(training.threads)
        trained = open_trained(folder)
        model = trained.model(trained.last, "ema")
        fabric = hardware.alone().fabric(training.precision)
        given = conditions(hardware, trained, model, context.prompts)
        timed = sampling_options(model, f"model {entry.model!r}", entry.sample)
        compile_for_sampling(hardware, trained, model, timed)
        # The first warms up; what it does not call would be compiled while it is timed.
        cheap = {} if training.compile else entry.snapshot_sample
        for options in (cheap or entry.sample, entry.sample):
            timed = sampling_options(model, f"model {entry.model!r}", options)
            seconds = sampling.seconds_per_block(
                fabric, model, trained.spec, timed, given, given.texts_of
            )
        return seconds / sampling.BLOCK

    return TIMING.once(ALONE, folder, _timing_inputs(context, entry), measure).value


def stored_seconds(context: RunContext, entry: SeededEntry) -> float | None:
    """The stored result of ``seconds_per_sample``; ``None`` if there is none."""
    return TIMING.find(run_folder(context, entry.training), _timing_inputs(context, entry))


def _timing_inputs(context: RunContext, entry: SeededEntry) -> dict[str, Any]:
    return {
        "training": training_identity(context.hardware, entry.training),
        "hardware": context.hardware.device_name,
        "options": dict(entry.sample),
    }


def quiet(event: ProgressEvent) -> None:
    """Reports nothing."""
