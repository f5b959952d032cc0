"""Samples + reference + extractor + metrics → scores, with their protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from genbench import registry
from genbench.data import open_samples
from genbench.errors import GenbenchError, UnknownName, UsageError
from genbench.registry import check_options, schema
from genbench.types import Estimate, FeatureExtractor, Features, Metric, Samples

if TYPE_CHECKING:
    import pandas as pd

VERSION = 1
"""Raised whenever the same samples and protocol would give other scores."""

BATCH = 256
DEFAULT_METRICS = (
    "frechet_distance",
    "kernel_distance",
    "inception_score",
    "precision",
    "recall",
    "density",
    "coverage",
    "vendi_score",
    "memorized",
)


@dataclass(frozen=True)
class Scores:
    """What some samples scored."""

    values: Mapping[str, Estimate]
    """By output name."""
    skipped: Mapping[str, str]
    """Outputs without a score → the reason."""
    better: Mapping[str, bool]
    """By output name: whether higher is better."""
    protocol: Mapping[str, Any]

    def to_frame(self) -> pd.DataFrame:
        """Columns ``metric, value, low, high``."""
        import pandas as pd

        rows = [(name, e.value, e.low, e.high) for name, e in self.values.items()]
        return pd.DataFrame(rows, columns=["metric", "value", "low", "high"])

    def __str__(self) -> str:
        width = max(map(len, [*self.values, *self.skipped]), default=0)
        lines = [f"{name:<{width}}  {estimate.value:.6g}" for name, estimate in self.values.items()]
        lines += [f"{name:<{width}}  -  ({reason})" for name, reason in self.skipped.items()]
        lines += ["", *(f"{key}: {value}" for key, value in self.protocol.items())]
        return "\n".join(lines)


@dataclass(frozen=True)
class Scorer:
    """One scoring protocol, ready to score any number of sample sets. The features of the
    reference and of the training set are computed once and kept."""

    extractor_name: str
    extractor: FeatureExtractor
    reference: Samples
    train: Samples | None
    outputs: tuple[str, ...]
    seed: int = 0
    device: str = "cpu"
    _kept: dict[str, list[Features]] = field(default_factory=dict, repr=False)

    def protocol(self, count: int, outputs: Sequence[str] | None = None) -> dict[str, Any]:
        """What must agree before two numbers may share a column."""
        chosen = resolve(outputs or self.outputs, self.seed)
        metrics = {name: _version(metric) for name, metric in chosen.items()}
        needs_train = any("train" in metric.sides for metric in chosen.values())
        spec = self.reference.spec
        return {
            "extractor": self.extractor.id,
            "resize": getattr(self.extractor, "resize", "none"),
            "reference": self.reference.id,
            "reference_count": len(self.reference),
            "train": self.train.id if needs_train and self.train is not None else None,
            "samples": count,
            "modality": spec.modality,
            "shape": list(spec.shape),
            "levels": spec.levels,
            "metrics": metrics,
            "seed": self.seed,
        }

    def code(self, outputs: Sequence[str] | None = None) -> dict[str, str]:
        """Hashes of the source of the plugins at work, which a version number may not follow.
        genbench's own code is followed by ``VERSION`` and the metrics' versions."""
        used = [(registry.metrics, name) for name in resolve(outputs or self.outputs, self.seed)]
        used.append((registry.extractors, self.extractor_name))
        return {
            f"{group.kind} {name}": group.code(name)
            for group, name in used
            if not group.is_ours(name)
        }

    def __call__(self, samples: Samples, outputs: Sequence[str] | None = None) -> Scores:
        """The scores of ``samples``. Raises ``UsageError`` when they do not fit the reference."""
        check_fit(samples, self.reference)
        outputs = tuple(outputs or self.outputs)
        chosen = resolve(outputs, self.seed)
        sides = {"reference": self.reference, "generated": samples, "train": self.train}
        skipped: dict[str, str] = {}
        running: dict[str, Metric] = {}
        for name, metric in chosen.items():
            reason = self._obstacle(metric)
            if reason is None:
                running[name] = metric.to(self.device)
            else:
                skipped |= {output: reason for output in metric.outputs if output in outputs}
        for side, source in sides.items():
            takers = [metric for metric in running.values() if side in metric.sides]
            if takers and source is not None:
                for features in self._features(source, keep=side != "generated"):
                    for metric in takers:
                        metric.update(features, side)
        values: dict[str, Estimate] = {}
        better: dict[str, bool] = {}
        for metric in running.values():
            better |= {name: up for name, up in metric.outputs.items() if name in outputs}
            computed = metric.compute()
            values |= {name: computed[name] for name in metric.outputs if name in outputs}
        return Scores(
            values={name: values[name] for name in outputs if name in values},
            skipped=skipped,
            better=better,
            protocol=self.protocol(len(samples), outputs),
        )

    def _obstacle(self, metric: Metric) -> str | None:
        if "train" in metric.sides and self.train is None:
            return "needs the generator's training set"
        offered = next(self._features(self.reference, keep=True)).keys()
        missing = sorted(metric.needs - offered)
        if missing:
            return f"needs {' and '.join(missing)}, which {self.extractor.id} does not give here"
        return None

    def _features(self, samples: Samples, *, keep: bool) -> Iterator[Features]:
        if not keep:
            yield from embed(samples, self.extractor, self.device)
            return
        if samples.id not in self._kept:
            self._kept[samples.id] = list(embed(samples, self.extractor, self.device))
        yield from self._kept[samples.id]


@torch.no_grad()
def embed(samples: Samples, extractor: FeatureExtractor, device: str) -> Iterator[Features]:
    """The features of all samples, batch by batch; ``labels`` added where the samples have any."""
    for start in range(0, len(samples), BATCH):
        batch = samples.take(torch.arange(start, min(start + BATCH, len(samples)))).to(device)
        features = dict(extractor(batch.data, samples.spec))
        for name, value in features.items():
            if not value.isfinite().all():
                raise GenbenchError(
                    f"{extractor.id} gives {name} of {samples.id} that are not finite"
                )
        if "label" in batch.condition:
            features["labels"] = batch.condition["label"]
        yield features


def scorer(
    *,
    reference: Samples,
    train: Samples | None,
    extractor: str,
    extractor_options: Mapping[str, Any] | None = None,
    outputs: Sequence[str],
    seed: int = 0,
    device: str = "cpu",
) -> Scorer:
    """A ``Scorer`` from names. Raises ``UsageError`` for unknown ones, or when the extractor
    cannot embed samples of the reference's kind."""
    resolve(outputs, seed)
    if train is not None:
        check_fit(train, reference)
    factory = registry.extractors.get(extractor)
    options = check_options(f"extractor {extractor!r}", factory, extractor_options or {})
    built: FeatureExtractor = factory(**options)
    reason = built.supports(reference.spec)
    if reason is not None:
        raise UsageError(f"extractor {extractor!r} cannot embed {reference.id}: {reason}")
    return Scorer(extractor, built.to(device), reference, train, tuple(outputs), seed, device)


def resolve(outputs: Sequence[str], seed: int) -> dict[str, Metric]:
    """Fresh metrics that compute all of ``outputs``, by registered name.

    Names are those of outputs, as in ``precision``. Raises ``UnknownName``; ``UsageError`` when two
    metrics compute one output; and, where an output is missing, what kept a plugin from loading.
    """
    makers: dict[str, list[str]] = {}
    broken: list[GenbenchError] = []
    for name in registry.metrics.names():
        try:
            factory = registry.metrics.get(name)
        except GenbenchError as error:
            broken.append(error)  # it costs its own outputs alone, which nobody may want
            continue
        for output in factory.outputs:
            makers.setdefault(output, []).append(name)
    chosen: dict[str, Metric] = {}
    for output in outputs:
        if output not in makers:
            raise broken[0] if broken else UnknownName("metric", output, makers)
        name, *others = makers[output]
        if others:
            raise UsageError(f"{output!r} is computed by the metrics {name!r} and {others[0]!r}")
        if name not in chosen:
            factory = registry.metrics.get(name)
            seeded = {"seed": seed} if "seed" in schema(factory) else {}
            chosen[name] = factory(**seeded)
    return chosen


def _version(metric: Metric) -> str:
    """The metric's version, with the options that decide its numbers."""
    options = {name: getattr(metric, name, None) for name in schema(type(metric)) if name != "seed"}
    said = ", ".join(f"{name} {value}" for name, value in options.items())
    return f"{getattr(metric, 'version', 1)}{f' ({said})' if said else ''}"


def check_fit(samples: Samples, reference: Samples) -> None:
    """Raises ``UsageError`` unless both are samples of one kind, and there are some."""
    for source in (samples, reference):
        if len(source) == 0:
            raise UsageError(f"{source.id} holds no samples")
    ours, theirs = samples.spec, reference.spec
    if (ours.modality, ours.shape, ours.levels) != (theirs.modality, theirs.shape, theirs.levels):
        raise UsageError(
            f"{samples.id} does not fit {reference.id}: "
            f"{_describe(samples)} against {_describe(reference)}"
        )


def evaluate(
    samples: str | Path | Samples,
    reference: str | Path | Samples,
    *,
    train: str | Path | Samples | None = None,
    extractor: str = "inception",
    metrics: Sequence[str] = DEFAULT_METRICS,
    seed: int = 0,
    data_dir: str | Path = "data",
    device: str = "cpu",
) -> Scores:
    """Score anybody's samples against a reference.

    ``samples``, ``reference`` and ``train`` are ``dataset:split``, a file, a folder of pictures or
    ``Samples``. Metrics that need the training set are skipped, with the reason, without it.
    Raises ``UsageError`` where something is unknown or does not fit.
    """

    def opened(source: str | Path | Samples) -> Samples:
        if isinstance(source, (str, Path)):
            return open_samples(str(source), Path(data_dir))
        return source

    generated, against = opened(samples), opened(reference)
    check_fit(generated, against)
    score = scorer(
        reference=against,
        train=None if train is None else opened(train),
        extractor=extractor,
        outputs=metrics,
        seed=seed,
        device=device,
    )
    return score(generated)


def _describe(samples: Samples) -> str:
    spec = samples.spec
    levels = "real-valued" if spec.levels is None else f"{spec.levels} levels"
    return f"{spec.modality} {'×'.join(map(str, spec.shape))}, {levels}"
