"""The row of a codec: the ceiling of every model that samples in its latent space."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from genbench import registry, sampling, store
from genbench.api import (
    RECONSTRUCTION,
    Codec,
    GenerativeModel,
    ProgressCallback,
    Samples,
    TensorSamples,
)
from genbench.api.errors import one_line
from genbench.devices.ranks import Fault, Ranks, attempt
from genbench.experiment.context import RunContext, open_cached
from genbench.experiment.real import random_subset, real_base, real_folder
from genbench.experiment.shown import neighbours
from genbench.experiment.stage_table import CODEC_RECORD, RECONSTRUCTIONS
from genbench.experiment.stages import scored, with_scores
from genbench.io.arrays import pack_samples, unpack_samples
from genbench.store.records import Record, checked
from genbench.suite import Training


def run_reconstruction(
    ranks: Ranks,
    context: RunContext,
    training: Training,
    model: GenerativeModel,
    report: ProgressCallback,
) -> list[Record]:
    """The row of the codec of ``model``, if it has one: as many reference samples as the entries
    generate, encoded, decoded, and scored as if generated.

    Trainings with one codec share the row, which the first of them computes.
    """
    codec = sampling.codec_of(model)
    if codec is None:
        return []
    said = {"id": codec.id, "licence": codec.licence}
    base = replace(
        real_base(context, training.dataset),
        entry=f"{RECONSTRUCTION}{codec.id}",
        model=codec.id,
        conditions={"codec": said},
    )
    folder, inputs = real_folder(context), _inputs(context, training, codec.id)

    def compute() -> Record:
        reference = open_cached(context.score.reference, context.hardware.data_dir)
        if context.samples > len(reference):
            reason = f"{context.samples} samples are asked for; {reference.id} has {len(reference)}"
            return replace(base, status="skipped", reason=reason)
        scorer = context.scorer(training.dataset, ranks)
        path, samples, cost = _samples(ranks, context, codec, reference, inputs, report)
        identity, scores = scored(ranks, scorer, folder, samples)
        beside = neighbours(ranks, scorer, folder, identity, samples)
        record = replace(
            with_scores(base, identity, scores),
            cost=cost,
            files={"samples": str(path.relative_to(context.out))}
            | ({} if beside is None else {"neighbours": str(beside.relative_to(context.out))}),
        )
        return checked(record)

    def once() -> Record:
        with ExitStack() as held:
            ranks.on_rank_zero(lambda: held.enter_context(store.lock(folder)))
            return CODEC_RECORD.once(ranks, folder, inputs, compute).value

    record = attempt(ranks, once)
    if isinstance(record, Fault):
        record = replace(base, status="failed", reason=one_line(record.error))
    return [replace(record, suite=context.name)]


def finished_reconstruction(
    context: RunContext, training: Training, codec_id: str
) -> Record | None:
    """The row of a codec, where it has been computed, or ``None``."""
    record = CODEC_RECORD.find(real_folder(context), _inputs(context, training, codec_id))
    return None if record is None else replace(record, suite=context.name)


def _samples(
    ranks: Ranks,
    context: RunContext,
    codec: Codec,
    reference: Samples,
    inputs: dict[str, Any],
    report: ProgressCallback,
) -> tuple[Path, TensorSamples, dict[str, float]]:
    """The file of the reconstructions, they themselves, and what it costs to decode one."""
    subset = random_subset(reference, context.samples, 0)
    decided = {name: value for name, value in inputs.items() if name != "context"}

    def compute() -> store.Contents:
        made = sampling.reconstruct(ranks.fabric, codec, subset, report=report)
        samples = TensorSamples(subset.spec, "", made.data, made.condition, subset.texts)
        cost = {
            "parameters": made.parameters,
            "sampling_parameters": made.parameters,
            "sampling_flops": made.flops,
        }
        return pack_samples(samples), {"cost": cost}

    decided |= {"samples": subset.id}
    made = RECONSTRUCTIONS.once(ranks, real_folder(context), decided, compute)
    data, metadata = made.value
    samples = unpack_samples(data, subset.spec, f"reconstructed@{made.identity}")
    return made.path, samples, metadata["cost"]


def _inputs(context: RunContext, training: Training, codec_id: str) -> dict[str, Any]:
    return {
        "context": context.inputs(training.dataset),
        "codec": codec_id,
        "code": registry.models.code(training.model).identity,
        "hardware": context.hardware.sampling_identity(),
    }
