"""Samples + reference + extractor + metrics → scores, with their protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torchmetrics
from torch import Tensor, nn

from genbench import registry
from genbench.data import open_samples
from genbench.errors import FAULTS, GenbenchError, UnknownName, UsageError, one_line
from genbench.ranks import ALONE, Ranks
from genbench.registry import PluginError, blaming, check_options, schema
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
    faults: Sequence[str] = ()
    """Those of ``skipped`` that a fault of their metric has cost: another try may give them."""

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

    def __call__(
        self, samples: Samples, outputs: Sequence[str] | None = None, ranks: Ranks = ALONE
    ) -> Scores:
        """The scores of ``samples``; all ranks embed, and rank 0 computes.

        A metric that raises costs its own outputs: they are skipped, with the reason. Raises
        ``UsageError`` when the samples do not fit the reference.
        """
        check_fit(samples, self.reference)
        outputs = tuple(outputs or self.outputs)
        chosen = resolve(outputs, self.seed)
        sides = {"reference": self.reference, "generated": samples, "train": self.train}
        skipped: dict[str, str] = {}
        running: dict[str, Metric] = {}
        for name, metric in chosen.items():
            reason = self._obstacle(metric, ranks)
            if reason is None:
                running[name] = _unsynced(metric.to(self.device))
            else:
                skipped |= {output: reason for output in metric.outputs if output in outputs}
        looked = set().union(*(metric.sides for metric in running.values()))
        features = {
            side: self._features(source, ranks, keep=side != "generated")
            for side, source in sides.items()
            if side in looked and source is not None
        }

        def compute() -> tuple[dict[str, Estimate], dict[str, str], list[str]]:
            values: dict[str, Estimate] = {}
            refused: dict[str, str] = {}
            faults: list[str] = []
            for name, metric in running.items():
                wanted = [output for output in metric.outputs if output in outputs]
                try:
                    for side in features:
                        for batch in features[side] if side in metric.sides else ():
                            metric.update(batch, side)
                    computed = metric.compute()
                    values |= {output: computed[output] for output in wanted}
                except (MemoryError, torch.OutOfMemoryError):
                    raise  # of this machine, not of the metric
                except UsageError as error:  # too few samples, say
                    refused |= dict.fromkeys(wanted, str(error))
                except FAULTS as error:
                    refused |= dict.fromkeys(wanted, f"{name} failed: {one_line(error)}")
                    faults += wanted
            return values, refused, faults

        values, refused, faults = ranks.first(compute)
        better = {name: up for metric in running.values() for name, up in metric.outputs.items()}
        return Scores(
            values={name: values[name] for name in outputs if name in values},
            skipped=skipped | refused,
            better={name: up for name, up in better.items() if name in values},
            protocol=self.protocol(len(samples), outputs),
            faults=faults,
        )

    @torch.no_grad()
    def rehearse(self) -> None:
        """Take and embed one sample of each set: a fault is told before anything is trained. Raises
        ``GenbenchError``."""
        for samples in (self.reference, self.train):
            if samples is not None:
                _embed_batch(samples, self.extractor, self.device, torch.arange(1))

    def _obstacle(self, metric: Metric, ranks: Ranks) -> str | None:
        if "train" in metric.sides and self.train is None:
            return "needs the generator's training set"
        offered = self._features(self.reference, ranks, keep=True)[0].keys()
        missing = sorted(metric.needs - offered)
        if missing:
            return f"needs {' and '.join(missing)}, which {self.extractor.id} does not give here"
        return None

    def _features(self, samples: Samples, ranks: Ranks, *, keep: bool) -> list[Features]:
        if samples.id in self._kept:
            return self._kept[samples.id]
        features = list(embed(samples, self.extractor, self.device, ranks))
        if keep:
            self._kept[samples.id] = features
        return features


@torch.no_grad()
def embed(
    samples: Samples, extractor: FeatureExtractor, device: str, ranks: Ranks = ALONE
) -> Iterator[Features]:
    """The features of all samples, batch by batch, the same for any number of ranks, which take the
    batches in turns; ``labels`` added where the samples have any."""
    batches = ceil(len(samples) / BATCH)
    for turn in range(0, batches, ranks.world):
        # Where nothing is left for a rank, the last batch is made once more and not looked at.
        mine = min(turn + ranks.rank, batches - 1)
        indices = torch.arange(mine * BATCH, min((mine + 1) * BATCH, len(samples)))
        features = _embed_batch(samples, extractor, device, indices)
        everyone = {name: list(ranks.rows(value, BATCH)) for name, value in features.items()}
        for number in range(turn, min(turn + ranks.world, batches)):
            rows = min(BATCH, len(samples) - number * BATCH)
            yield {name: parts[number - turn][:rows] for name, parts in everyone.items()}


def _embed_batch(
    samples: Samples, extractor: FeatureExtractor, device: str, indices: Tensor
) -> dict[str, Tensor]:
    with blaming(f"data set {samples.id} failed"):
        batch = samples.take(indices).to(device)
    with blaming(f"extractor {extractor.id} failed"):
        features = dict(extractor(batch.data, samples.spec))
    for name, value in features.items():
        if not value.isfinite().all():
            raise GenbenchError(f"{extractor.id} gives {name} of {samples.id} that are not finite")
    if "label" in batch.condition:
        features["labels"] = batch.condition["label"]
    return features


def _unsynced(metric: Metric) -> Metric:
    """Rank 0 has all features: what torchmetrics would gather from the others is not there."""
    for module in metric.modules() if isinstance(metric, nn.Module) else ():
        if isinstance(module, torchmetrics.Metric):
            module.distributed_available_fn = lambda: False
    return metric


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
    built: FeatureExtractor = registry.extractors.make(extractor, **options)
    with blaming(f"extractor {extractor!r} failed"):
        reason = built.supports(reference.spec)
        if reason is not None:
            raise UsageError(f"extractor {extractor!r} cannot embed {reference.id}: {reason}")
        placed = built.to(device)
    return Scorer(extractor, placed, reference, train, tuple(outputs), seed, device)


def resolve(outputs: Sequence[str], seed: int) -> dict[str, Metric]:
    """Fresh metrics that compute all of ``outputs``, by registered name.

    Names are those of outputs, as in ``precision``. Raises ``UnknownName``; ``UsageError`` when two
    metrics compute one output; and, where an output is missing, what kept a plugin from loading.
    """
    makers: dict[str, list[str]] = {}
    broken: list[GenbenchError] = []
    for name in registry.metrics.names():
        try:
            with blaming(f"metric {name!r} failed"):
                offered = list(registry.metrics.get(name).outputs)
        except GenbenchError as error:
            broken.append(error)  # it costs its own outputs alone, which nobody may want
            continue
        for output in offered:
            makers.setdefault(output, []).append(name)
    chosen: dict[str, Metric] = {}
    for output in outputs:
        if output not in makers:
            unknown = UnknownName("metric", output, makers)
            raise PluginError("; ".join(map(str, [unknown, *broken]))) if broken else unknown
        name, *others = makers[output]
        if others:
            raise UsageError(f"{output!r} is computed by the metrics {name!r} and {others[0]!r}")
        if name not in chosen:
            factory = registry.metrics.get(name)
            seeded = {"seed": seed} if "seed" in schema(factory) else {}
            chosen[name] = registry.metrics.make(name, **seeded)
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
    ranks: Ranks = ALONE,
) -> Scores:
    """Score anybody's samples against a reference.

    ``samples``, ``reference`` and ``train`` are ``dataset:split``, a file, a folder of pictures or
    ``Samples``. Metrics that need the training set are skipped, with the reason, without it.
    ``ranks``: the processes that share the work, where there are several. Raises ``UsageError``
    where something is unknown or does not fit.
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
    return score(generated, ranks=ranks)


def _describe(samples: Samples) -> str:
    spec = samples.spec
    levels = "real-valued" if spec.levels is None else f"{spec.levels} levels"
    return f"{spec.modality} {'×'.join(map(str, spec.shape))}, {levels}"
