"""The record of one entry: its scores with all that is known of how they came about."""

from __future__ import annotations

import io
import platform
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import pandas as pd

from genbench import evaluation, store, suite
from genbench.api import ProgressCallback, ProgressEvent, TensorSamples
from genbench.api.errors import NonFiniteSamples, one_line
from genbench.api.metrics import LIKELIHOOD_OUTPUT
from genbench.devices.ranks import Ranks
from genbench.experiment.asked import asked_for
from genbench.experiment.context import RunContext
from genbench.experiment.repair import keep_traceback
from genbench.experiment.shown import neighbours
from genbench.experiment.stages import draw, likelihood_score, scored, snapshot_options
from genbench.experiment.trained import Trained, run_folder, training_identity
from genbench.store.records import Record, score_of
from genbench.suite import OPTIONS, SeededEntry
from genbench.training import checkpoint, loop, stability


def entry_record(
    ranks: Ranks,
    context: RunContext,
    trained: Trained,
    entry: SeededEntry,
    curve: list[dict[str, Any]],
    report: ProgressCallback,
) -> Record:
    """The record of ``entry``, sampled and scored at the last good snapshot. ``curve``: the scores
    along training. Raises ``NonFiniteSamples`` if no snapshot gives finite samples."""
    result = trained.result
    examples, samples, metadata = _draw_last_good(ranks, context, trained, entry, report)
    given = result.status == "done" and result.examples == 0
    broken = None if examples == trained.last else "the sampler gave samples that are not finite"
    report(ProgressEvent("score", 0, 1))
    scorer = context.scorer(entry.training.dataset, ranks)
    identity, scores = scored(ranks, scorer, trained.folder, samples)
    beside = neighbours(ranks, scorer, trained.folder, identity, samples)
    asked = asked_for(ranks, scorer, trained.folder, identity, samples)
    bits, no_bits = likelihood_score(ranks, context, trained, examples, report)
    path = trained.folder / "samples" / f"{metadata['identity']}.safetensors"
    base, history = _base(context, entry), trained.folder / checkpoint.HISTORY
    return replace(
        base,
        status=result.status if broken is None else "diverged",
        reason=_divergence(result, broken, examples),
        scores={name: score_of(estimate) for name, estimate in {**scores.values, **bits}.items()},
        outputs={**scores.outputs, **dict.fromkeys(bits, LIKELIHOOD_OUTPUT)},
        skipped_metrics={**scores.skipped, **no_bits},
        faults=scores.faults,
        conditions={
            **base.conditions,
            "weights": "ema",
            "snapshot": examples,
            "sample": metadata["options"],
            "obeys": metadata["obeys"],
            **{name: metadata[name] for name in ("codec", "imported") if name in metadata},
            **({"examples": 0, "pretrained": True} if given else {}),
        },
        cost={
            "parameters": sum(result.parameters.values()) if result.parameters else None,
            "sampling_parameters": metadata["parameters"],
            # What weights that came from elsewhere have cost is not known here.
            "training_flops": None if given else result.flops,
            "training_seconds": None if given else result.seconds,
            "nfe": metadata["nfe"],
            "sampling_flops": metadata["flops"],
            "seconds_per_sample": None,
        },
        stability=stability.summary(
            history_of(trained),
            curve,
            context.score.headline,
            higher_is_better=_higher_is_better(context.score),
            threshold=context.score.snapshots.threshold,
        ),
        snapshots=curve,
        identities={
            "training": trained.identity,
            "sampling": metadata["identity"],
            "scoring": identity,
        },
        files={
            name: str(file.relative_to(context.out))
            for name, file in (
                ("history", history),
                ("samples", path),
                ("neighbours", beside),
                ("asked", asked),
            )
            if file is not None
        },
    )


def without_scores(
    context: RunContext, entry: SeededEntry, status: str, error: BaseException
) -> Record:
    """The row of an entry that has no scores: the reason in one line, and the traceback of a
    plugin's own fault beside its run."""
    keep_traceback(run_folder(context, entry.training), error)
    return replace(_base(context, entry), status=status, reason=one_line(error))


def record_inputs(
    context: RunContext, entry: SeededEntry, entries: Sequence[SeededEntry]
) -> dict[str, Any]:
    """The inputs of the stage ``RECORD``. ``entries`` share a training, ``entry`` among them."""
    return {
        "training": training_identity(context.hardware, entry.training),
        "model": entry.model,
        "sample": dict(entry.sample),
        "snapshot_sample": dict(snapshot_options(entries)),
        "context": context.inputs(entry.training.dataset),
    }


def history_of(trained: Trained) -> pd.DataFrame:
    """What the loop left of a training: see ``training.history``."""
    data, _ = store.require_artefact(trained.folder / checkpoint.HISTORY)
    return pd.read_csv(io.BytesIO(data))


def _higher_is_better(score: suite.Score) -> bool:
    """Of the headline score."""
    (metric,) = evaluation.resolve([score.headline], score.seed).values()
    return metric.outputs[score.headline].higher_is_better


def _draw_last_good(
    ranks: Ranks,
    context: RunContext,
    trained: Trained,
    entry: SeededEntry,
    report: ProgressCallback,
) -> tuple[int, TensorSamples, dict[str, Any]]:
    """Samples of the last snapshot whose sampler gives finite ones, and its example count."""
    for examples in reversed(trained.result.snapshots):
        try:
            samples, metadata = draw(
                ranks,
                context.hardware,
                trained,
                examples=examples,
                weights="ema",
                options=entry.sample,
                count=context.samples,
                report=report,
                prompts=context.prompts,
            )
        except NonFiniteSamples:
            continue
        return examples, samples, metadata
    raise NonFiniteSamples("no snapshot, not even the untrained one, gives finite samples")


def _base(context: RunContext, entry: SeededEntry) -> Record:
    return Record(
        suite=context.name,
        entry=entry.name,
        model=entry.model,
        trains=entry.training.model,
        dataset=entry.training.dataset,
        seed=entry.training.seed,
        status="done",
        note=entry.note,
        protocol=context.protocol(entry.training.dataset),
        conditions=_conditions(context, entry),
    )


def _conditions(context: RunContext, entry: SeededEntry) -> dict[str, Any]:
    training = entry.training
    return {
        "options": dict(training.options),
        "sample": dict(entry.sample),
        "examples": training.steps * training.batch,
        **{name: value for name, value in training.named().items() if name in OPTIONS},
        "device": context.hardware.device_name,
        "devices": context.hardware.world,
        "torch": version("torch"),
        "genbench": version("genbench"),
        "platform": platform.platform(),
        **(
            {}
            if context.prompts is None
            else {"prompts": context.prompts.model_dump(mode="json", exclude_none=True)}
        ),
    }


def _divergence(result: loop.TrainingResult, broken: str | None, examples: int) -> str | None:
    if result.status == "diverged":
        step = result.first_nonfinite_step
        broken = f"a loss, a gradient norm or a weight was not finite at step {step}"
    return None if broken is None else f"{broken}; scored at {examples} examples"
