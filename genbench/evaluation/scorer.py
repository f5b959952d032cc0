"""One scoring protocol, ready to score any number of sample sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
import torchmetrics
from torch import nn

from genbench import registry, store
from genbench.api import (
    Estimate,
    FeatureExtractor,
    Features,
    Metric,
    ProgressCallback,
    ProgressEvent,
    Samples,
    SampleSpec,
)
from genbench.api.errors import UsageError, one_line
from genbench.devices.ranks import ALONE, Ranks
from genbench.evaluation.choice import resolve, version_of
from genbench.evaluation.embedding import asks_for, embed, embed_first, embed_once
from genbench.evaluation.scores import Scores, finite
from genbench.io.moments import Moments
from genbench.registry import check_options, kept_torch, wrap_plugin_errors


@dataclass(frozen=True)
class Scorer:
    """One scoring protocol. The features of the reference and of the training set are computed once
    and kept."""

    extractor_name: str
    extractor: FeatureExtractor
    spec: SampleSpec
    """Of the samples that it scores."""
    reference: Samples | Moments
    train: Samples | None
    outputs: tuple[str, ...]
    seed: int = 0
    device: str = "cpu"
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the extractor."""
    _kept: dict[tuple[str, frozenset[str]], list[Features]] = field(
        default_factory=dict, repr=False
    )

    def protocol(self, count: int, outputs: Sequence[str] | None = None) -> dict[str, Any]:
        """The parts that must be equal for two scores to share a column."""
        chosen = resolve(outputs or self.outputs, self.seed)
        metrics = {name: version_of(name, metric) for name, metric in chosen.items()}
        needs_train = any("train" in metric.sides for metric in chosen.values())
        held = self.reference
        by_moments = [metric for metric in chosen.values() if self._by_moments(metric)]
        beside = self._moments if by_moments and not isinstance(held, Moments) else None
        return {
            "extractor": str(self.extractor.id),
            "resize": str(getattr(self.extractor, "resize", "none")),
            "reference": held.id,
            "reference_count": held.count if isinstance(held, Moments) else len(held),
            **({"statistics": beside.id} if beside is not None else {}),
            "train": self.train.id if needs_train and self.train is not None else None,
            "samples": count,
            "modality": self.spec.modality,
            "shape": list(self.spec.shape),
            "levels": self.spec.levels,
            **({} if self.spec.rate is None else {"rate": self.spec.rate}),
            "metrics": metrics,
            "seed": self.seed,
        }

    def code(self, outputs: Sequence[str] | None = None) -> dict[str, str]:
        """Hashes of the source of the plugins in use, whose version may not change with it, and the
        extractor's options, which its id may not name. ``VERSION`` and the metrics' versions stand
        for genbench's own code."""
        used = [(registry.metrics, name) for name in resolve(outputs or self.outputs, self.seed)]
        used.append((registry.extractors, self.extractor_name))
        hashes = {
            f"{group.kind} {name}": group.code(name).identity
            for group, name in used
            if not group.is_ours(name)
        }
        given = {"extractor options": store.canonical(dict(self.options))} if self.options else {}
        return hashes | given

    def __call__(
        self,
        samples: Samples,
        outputs: Sequence[str] | None = None,
        ranks: Ranks = ALONE,
        report: ProgressCallback = lambda event: None,
    ) -> Scores:
        """The scores of ``samples``. All ranks embed, and rank 0 computes. If a metric raises, its
        outputs are skipped, with the reason. Raises ``UsageError`` if the samples do not fit the
        reference.
        """
        beside = self.train if isinstance(self.reference, Moments) else self.reference
        if beside is not None:
            check_fit(samples, beside)
        outputs = tuple(outputs or self.outputs)
        chosen = resolve(outputs, self.seed)
        skipped: dict[str, str] = {}
        running: dict[str, Metric] = {}
        for name, metric in chosen.items():
            reason = self._obstacle(metric, samples)
            if reason is None:
                running[name] = _unsynced(metric.to(self.device))
            else:
                skipped |= {output: reason for output in metric.outputs if output in outputs}
        with kept_torch():
            features = self._sides(samples, running, ranks, report)

        def compute() -> tuple[dict[str, Estimate], dict[str, str], list[str]]:
            values: dict[str, Estimate] = {}
            refused: dict[str, str] = {}
            faults: list[str] = []
            for done, (name, metric) in enumerate(running.items()):
                report(ProgressEvent(f"compute {name}", done, len(running)))
                wanted = [output for output in metric.outputs if output in outputs]
                try:
                    with kept_torch():
                        computed = self._noted(metric, self._computed(metric, features))
                    kept, lost = finite({n: computed[n] for n in wanted if n in computed})
                    values |= kept
                    refused |= lost
                    absent = [output for output in wanted if output not in computed]
                    refused |= dict.fromkeys(absent, f"{name} did not compute it")
                    faults += absent
                except (MemoryError, torch.OutOfMemoryError):
                    raise  # of this machine, not of the metric
                except UsageError as error:  # too few samples, say
                    refused |= dict.fromkeys(wanted, one_line(error))
                except KeyboardInterrupt:
                    raise
                except BaseException as error:
                    refused |= dict.fromkeys(wanted, f"{name} failed: {one_line(error)}")
                    faults += wanted
            return values, refused, faults

        values, refused, faults = ranks.on_rank_zero(compute)
        declared = {name: of for metric in running.values() for name, of in metric.outputs.items()}
        return Scores(
            values={name: values[name] for name in outputs if name in values},
            skipped=skipped | refused,
            outputs={name: declared[name] for name in outputs if name in values},
            protocol=self.protocol(len(samples), outputs),
            faults=faults,
            remarks=self._remarks(samples),
        )

    @torch.no_grad()
    def rehearse(self) -> None:
        """Take and embed one sample of each set, so that a fault is reported before anything is
        trained. Raises ``GenbenchError``."""
        for samples in (self.reference, self.train):
            if samples is not None and not isinstance(samples, Moments):
                self._offered(samples)

    def training_needs(self) -> frozenset[str]:
        """The names of the training set's features that the metrics look at."""
        if self.train is None:
            return frozenset()
        chosen = resolve(self.outputs, self.seed).values()
        running = [metric for metric in chosen if self._obstacle(metric, self.train) is None]
        return _needed([metric for metric in running if "train" in metric.sides])

    def training_features(self, ranks: Ranks = ALONE) -> list[Features]:
        """The features that ``training_needs`` names, batch by batch, embedded once."""
        assert self.train is not None
        return self._once(self.train, self.training_needs(), ranks, lambda event: None)

    def _sides(
        self,
        samples: Samples,
        metrics: Mapping[str, Metric],
        ranks: Ranks,
        report: ProgressCallback,
    ) -> dict[str, list[Features]]:
        """The features that ``metrics`` use, by side, batch by batch."""
        sides = {"reference": self.reference, "generated": samples, "train": self.train}
        features = {}
        for side, source in sides.items():
            looking = [m for m in metrics.values() if side in self._fed(m)]
            if not looking or source is None or isinstance(source, Moments):
                continue
            names = _needed(looking)
            if side == "generated":
                features[side] = list(
                    embed(source, self.extractor, self.device, ranks, names, report)
                )
            else:
                features[side] = self._once(source, names, ranks, report)
        return features

    def _once(
        self, source: Samples, names: frozenset[str], ranks: Ranks, report: ProgressCallback
    ) -> list[Features]:
        key = source.id, names
        if key not in self._kept:
            self._kept[key] = embed_once(
                source, self.extractor, self._made_by, self.device, ranks, names, report
            )
        return self._kept[key]

    @cached_property
    def _made_by(self) -> dict[str, Any] | None:
        """What determines the features beside the extractor's id, which names its weights; ``None``
        if a plugin's source is unknown."""
        code = None
        if not registry.extractors.is_ours(self.extractor_name):
            try:
                code = registry.extractors.code(self.extractor_name).identity
            except UsageError:
                return None
        return {"options": dict(self.options), "code": code}

    def _computed(
        self, metric: Metric, features: Mapping[str, Sequence[Features]]
    ) -> Mapping[str, Estimate]:
        for side, batches in features.items():
            for batch in batches if side in self._fed(metric) else ():
                metric.update(batch, side)
        if self._moments is not None and self._by_moments(metric):
            accept: Any = metric
            accept.accept_moments(self._moments.mean, self._moments.covariance, self._moments.count)
        computed: Mapping[str, Estimate] = metric.compute()
        return computed

    @cached_property
    def _moments(self) -> Moments | None:
        """Published statistics: the reference itself, or what is beside its samples."""
        held = self.reference
        return held if isinstance(held, Moments) else getattr(held, "moments", None)

    def _by_moments(self, metric: Metric) -> bool:
        """Whether ``metric`` is computed from statistics of the reference, not from its samples:
        if it can, and if they are of as many features as the extractor's."""
        moments = self._moments
        if moments is None or "reference" not in metric.sides:
            return False
        if not hasattr(metric, "accept_moments"):
            return False
        if isinstance(self.reference, Moments):
            return True
        widths = self._offered(self.reference)
        return {widths.get(name) for name in metric.needs} == {len(moments.mean)}

    def _fed(self, metric: Metric) -> Set[str]:
        """The sides whose features ``metric`` is given."""
        return metric.sides - {"reference"} if self._by_moments(metric) else metric.sides

    def _noted(self, metric: Metric, values: Mapping[str, Estimate]) -> Mapping[str, Estimate]:
        """Where the reference holds both: ``values`` with a note that says what they are from."""
        held, moments = self.reference, self._moments
        if isinstance(held, Moments) or moments is None or not hasattr(metric, "accept_moments"):
            return values
        where = held.id.partition("@")[0]
        if self._by_moments(metric):
            said = f"from the statistics in {where}; other scores are from its samples"
        else:
            width = len(moments.mean)
            said = f"from the samples in {where}: its statistics are of {width} features a sample"
        return {
            name: replace(e, note=said if e.note is None else f"{e.note}; {said}")
            for name, e in values.items()
        }

    def _remarks(self, samples: Samples) -> list[str]:
        """What is to be said of how the samples of each side were read."""
        read = {
            source.id: getattr(source, "notes", ())
            for source in (samples, self.reference, self.train)
            if source is not None
        }
        return [f"{id.partition('@')[0]}: {note}" for id, notes in read.items() for note in notes]

    def _obstacle(self, metric: Metric, samples: Samples) -> str | None:
        """Why ``metric`` cannot be computed, or ``None``."""
        if "train" in metric.sides and self.train is None:
            return "needs the generator's training set"
        if asked := sorted(asks_for(self.extractor)):
            absent = [name for name in asked if name not in self._given(samples)]
            if absent:
                return f"{self.extractor.id} needs the condition {absent[0]!r} of the samples"
        if isinstance(self.reference, Moments):
            if "reference" in metric.sides and not hasattr(metric, "accept_moments"):
                return f"needs samples to compare with; {self.reference.id} holds statistics"
            offered = self._offered(samples)
        else:
            offered = self._offered(self.reference)
        missing = sorted(metric.needs - offered.keys())
        if missing:
            return f"needs {' and '.join(missing)}, which {self.extractor.id} does not give here"
        return None

    def _given(self, samples: Samples) -> Set[str]:
        """The names of the conditions that ``samples`` carry."""
        with wrap_plugin_errors(f"data set {samples.id} failed"):
            return samples.take(torch.arange(1)).condition.keys()

    @torch.no_grad()
    def _offered(self, samples: Samples) -> Mapping[str, int]:
        """The names of the features that ``samples`` have, and how many numbers a sample."""
        if samples.id not in self._widths:
            one = embed_first(samples, self.extractor, self.device)
            self._widths[samples.id] = {name: value[0].numel() for name, value in one.items()}
        return self._widths[samples.id]

    @cached_property
    def _widths(self) -> dict[str, Mapping[str, int]]:
        return {}


def scorer(
    *,
    reference: Samples | Moments,
    spec: SampleSpec | None = None,
    train: Samples | None,
    extractor: str,
    extractor_options: Mapping[str, Any] | None = None,
    outputs: Sequence[str],
    seed: int = 0,
    device: str = "cpu",
) -> Scorer:
    """A ``Scorer`` from names. ``spec``: of what is scored, by default the reference's.

    Raises ``UsageError`` for unknown names, or when the extractor cannot embed such samples.
    """
    resolve(outputs, seed)
    if not isinstance(reference, Moments):
        spec = reference.spec
        if train is not None:
            check_fit(train, reference)
    assert spec is not None
    factory = registry.extractors.get(extractor)
    options = check_options(f"extractor {extractor!r}", factory, extractor_options or {})
    built: FeatureExtractor = registry.extractors.make(extractor, **options)
    with wrap_plugin_errors(f"extractor {extractor!r} failed"):
        reason = built.supports(spec)
        if reason is not None:
            raise UsageError(f"extractor {extractor!r} cannot embed {reference.id}: {reason}")
        placed = built.to(device)
    return Scorer(extractor, placed, spec, reference, train, tuple(outputs), seed, device, options)


def check_fit(samples: Samples, reference: Samples) -> None:
    """Raises ``UsageError`` unless both are samples of one kind and neither is empty."""
    for source in (samples, reference):
        if len(source) == 0:
            raise UsageError(f"{source.id} holds no samples")
    ours, theirs = samples.spec, reference.spec
    if replace(ours, condition={}) != replace(theirs, condition={}):
        raise UsageError(
            f"{samples.id} does not fit {reference.id}: "
            f"{_describe(samples)} against {_describe(reference)}"
        )


def _needed(metrics: Sequence[Metric]) -> frozenset[str]:
    return frozenset().union(*(metric.needs for metric in metrics))


def _unsynced(metric: Metric) -> Metric:
    """Rank 0 has all features, so that torchmetrics must not gather from the other ranks."""
    for module in metric.modules() if isinstance(metric, nn.Module) else ():
        if isinstance(module, torchmetrics.Metric):
            module.distributed_available_fn = lambda: False
    return metric


def _describe(samples: Samples) -> str:
    spec = samples.spec
    levels = "real-valued" if spec.levels is None else f"{spec.levels} levels"
    rate = "" if spec.rate is None else f", {spec.rate:g} a second"
    return f"{spec.modality} {'×'.join(map(str, spec.shape))}, {levels}{rate}"
