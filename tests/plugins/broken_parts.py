"""Data sets, extractors and metrics that each break one promise, and sound ones to compare with.

A broken one takes from the sound one everything but its fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import torch
from torch import Tensor, nn

from genbench import registry
from genbench.api import Batch, Estimate, Features, Output, Samples, SampleSpec, TensorSamples
from genbench.data import open_samples


def _digits(argument: str, **changes: Any) -> TensorSamples:
    whole = open_samples(f"digits:{argument or 'train'}", Path())
    batch = whole.take(torch.arange(len(whole)))
    fields = {"id": whole.id, "data": batch.data, "condition": batch.condition}
    return TensorSamples(spec=whole.spec, **{**fields, **changes})


def unstable_id(argument: str, data_dir: Path) -> Samples:
    """Another id every time."""
    return _digits(argument, id=f"digits@{uuid4().hex}")


def no_hash(argument: str, data_dir: Path) -> Samples:
    """An id that does not follow the content."""
    return _digits(argument, id=f"digits:{argument or 'train'}")


def wrong_range(argument: str, data_dir: Path) -> Samples:
    """Pixels of 256 levels where the spec says 17."""
    return _digits(argument, data=_digits(argument).data * 15)


def wrong_labels(argument: str, data_dir: Path) -> Samples:
    """Classes that begin with 1."""
    return _digits(argument, condition={"label": _digits(argument).condition["label"] + 1})


def one_split(argument: str, data_dir: Path) -> Samples:
    """Tests on what it trains on, under another id."""
    swapped = _digits("train").data.flip(0)
    return _digits("train", id=f"digits@{len(argument):08x}", data=swapped)


def double_reals(argument: str, data_dir: Path) -> Samples:
    """Points in float64, which models do not see."""
    ring = open_samples(f"points-ring:{argument or 'train'}", Path())
    points = ring.take(torch.arange(100)).data.double() / 3
    return TensorSamples(SampleSpec("points", (2,), None), f"ring@{len(argument):08x}", points)


class Sorted(TensorSamples):
    """Reads its file from front to back."""

    def take(self, indices: Tensor) -> Batch:
        return super().take(indices.sort().values)


def unordered(argument: str, data_dir: Path) -> Samples:
    """The samples at ``indices``, in another order."""
    return Sorted(**vars(_digits(argument)))


class Pixels:
    """Sound: flattened pixels, scaled."""

    id = "pixels@0"

    def supports(self, spec: SampleSpec) -> str | None:
        return None if spec.modality == "image" else "it sees images alone"

    def to(self, device: torch.device | str) -> Pixels:
        return self

    def __call__(self, stored: Tensor, spec: SampleSpec) -> Features:
        return {"features": stored.flatten(1).float() / 16}


class TrainMode(Pixels):
    """A batch norm that was never told that training is over."""

    def __call__(self, stored: Tensor, spec: SampleSpec) -> Features:
        features = super().__call__(stored, spec)["features"]
        return {"features": nn.BatchNorm1d(features.shape[1])(features)}


class Reversed(Pixels):
    def __call__(self, stored: Tensor, spec: SampleSpec) -> Features:
        return {"features": super().__call__(stored, spec)["features"].flip(0)}


class Drops(Pixels):
    """Dropout at work: not deterministic, and moves the generator."""

    def __call__(self, stored: Tensor, spec: SampleSpec) -> Features:
        return {"features": nn.Dropout()(super().__call__(stored, spec)["features"])}


class Normalises(Pixels):
    """In place."""

    def __call__(self, stored: Tensor, spec: SampleSpec) -> Features:
        features = super().__call__(stored, spec)
        stored.zero_()
        return features


class Integers(Pixels):
    def __call__(self, stored: Tensor, spec: SampleSpec) -> Features:
        return {"features": stored.flatten(1)}


class Unsaid(Pixels):
    """Says of fewer samples than there are whether they are right."""

    def facts(self, stored: Tensor, *others: object) -> list[dict[str, bool]]:
        return [{"bright": True} for _ in stored[1:]]


class Numbers(Pixels):
    def facts(self, stored: Tensor, *others: object) -> list[dict[str, float]]:
        return [{"bright": 0.5} for _ in stored]


class Yes(Pixels):
    """Answers the other way round."""

    def supports(self, spec: SampleSpec) -> str | None:
        return True  # type: ignore[return-value]


class Renamed(Pixels):
    def __init__(self) -> None:
        self.id = f"pixels@{uuid4().hex}"


GAP = Output(False, "gap of the means", "fidelity", minimum=0)


class MeanGap:
    """Sound: distance of the means, by accumulated sums."""

    needs: ClassVar[set[str]] = {"features"}
    sides: ClassVar[set[str]] = {"reference", "generated"}
    outputs: ClassVar[Mapping[str, Output]] = {"mean_gap": GAP}

    def __init__(self) -> None:
        self.seen: dict[str, list[Tensor]] = {side: [] for side in self.sides}

    def to(self, device: str) -> MeanGap:
        return self

    def update(self, features: Features, side: str) -> None:
        self.seen[side].append(features["features"])

    def means(self) -> tuple[Tensor, Tensor]:
        one, two = (torch.cat(self.seen[side]).double().mean(0) for side in sorted(self.sides))
        return one, two

    def compute(self) -> Mapping[str, Estimate]:
        one, two = self.means()
        return {"mean_gap": Estimate(float((one - two).norm()))}


class MeanOfMeans(MeanGap):
    """Of batches, whatever their sizes."""

    def means(self) -> tuple[Tensor, Tensor]:
        one, two = (
            torch.stack([part.double().mean(0) for part in self.seen[side]]).mean(0)
            for side in sorted(self.sides)
        )
        return one, two


class WrongWay(MeanGap):
    outputs: ClassVar[Mapping[str, Output]] = {"mean_gap": replace(GAP, higher_is_better=True)}


class Mutates(MeanGap):
    def update(self, features: Features, side: str) -> None:
        features["features"].div_(2)
        super().update(features, side)


class Missing(MeanGap):
    outputs: ClassVar[Mapping[str, Output]] = {"mean_gap": GAP, "mean_angle": GAP}


class Undeclared(MeanGap):
    outputs: ClassVar[Mapping[str, Output]] = {}


class ClassWide(MeanGap):
    """One list for all instances."""

    everything: ClassVar[dict[str, list[Tensor]]] = {"reference": [], "generated": []}

    def __init__(self) -> None:
        for part in self.everything.values():
            part.clear()
        self.seen = self.everything


class Subset(MeanGap):
    """A random half, from the global generator."""

    def means(self) -> tuple[Tensor, Tensor]:
        one, two = (torch.cat(self.seen[side]).double() for side in sorted(self.sides))
        return one.mean(0), two[torch.randperm(len(two))[: len(two) // 2]].mean(0)


class BareNumbers(MeanGap):
    def compute(self) -> Any:
        return {"mean_gap": super().compute()["mean_gap"].value}


registry.datasets.add("wrong-range", wrong_range)
registry.extractors.add("reversed", Reversed)
registry.metrics.add("wrong-way", WrongWay)
