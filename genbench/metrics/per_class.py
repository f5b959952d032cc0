"""Class by class: the Fréchet distance within each class, and the accuracy of the samples'
classes."""

from __future__ import annotations

from collections.abc import Mapping, Set

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from genbench.api import Estimate, Features, Output
from genbench.api.errors import UsageError
from genbench.metrics.frechet import frechet_distance, gaussian
from genbench.metrics.resampling import share


def class_frechet_distances(
    reference: Tensor, reference_labels: Tensor, generated: Tensor, generated_labels: Tensor
) -> Tensor:
    """The Fréchet distance of each class, ``(K,)`` float64, in the order of the labels.

    ``(N, D)`` and ``(M, D)`` features with integer labels ``(N,)`` and ``(M,)``. Raises
    ``UsageError`` unless both sides have 2 samples of every class that one of them has.
    """
    distances = []
    for label in torch.unique(torch.cat([reference_labels, generated_labels])).tolist():
        gaussians: list[Tensor] = []
        for side, x, labels in (
            ("reference", reference, reference_labels),
            ("generated", generated, generated_labels),
        ):
            of_class = x[labels == label]
            if len(of_class) < 2:
                raise UsageError(
                    f"frechet_distance_per_class needs at least 2 {side} samples of class {label}; "
                    f"there are {len(of_class)}"
                )
            gaussians += gaussian(of_class)
        distances.append(frechet_distance(*gaussians))
    return torch.tensor(distances, dtype=torch.float64)


class PerClassFrechetDistance(Metric):
    """Mean over the classes of the Fréchet distance between a class's reference and generated
    samples, both labelled.

    A class has few samples, so the bias of ``frechet_distance`` is larger here by the number of
    classes (a note says where a covariance has no full rank): compare at equal counts. There is no
    interval, which would be narrow beside that bias. Needs 2 samples of each class a side.
    """

    needs: Set[str] = frozenset({"features", "labels"})
    sides: Set[str] = frozenset({"reference", "generated"})
    outputs: Mapping[str, Output] = {
        "frechet_distance_per_class": Output(
            False, "Fréchet distance, per class", "fidelity", minimum=0
        )
    }
    version = 1
    full_state_update = False

    reference_features: list[Tensor]
    reference_labels: list[Tensor]
    generated_features: list[Tensor]
    generated_labels: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        for side in sorted(self.sides):
            self.add_state(f"{side}_features", [], dist_reduce_fx="cat")
            self.add_state(f"{side}_labels", [], dist_reduce_fx="cat")

    def update(self, features: Features, side: str) -> None:
        """Add ``features["features"]``, ``(B, D)``, and ``features["labels"]``, ``(B,)``, of
        ``"reference"`` or ``"generated"``. Raises ``UsageError`` without labels."""
        require_labels("frechet_distance_per_class", features, side)
        getattr(self, f"{side}_features").append(features["features"])
        getattr(self, f"{side}_labels").append(features["labels"])

    def compute(self) -> Mapping[str, Estimate]:
        reference_labels = dim_zero_cat(self.reference_labels)
        generated_labels = dim_zero_cat(self.generated_labels)
        generated = dim_zero_cat(self.generated_features)
        distances = class_frechet_distances(
            dim_zero_cat(self.reference_features), reference_labels, generated, generated_labels
        )
        sizes = [
            torch.unique(labels, return_counts=True)[1]
            for labels in (reference_labels, generated_labels)
        ]
        few = int(torch.cat(sizes).min())
        note = None
        if few <= generated.shape[1]:
            note = f"{few} samples of a class fit no covariance of {generated.shape[1]} features"
        return {"frechet_distance_per_class": Estimate(float(distances.mean()), note=note)}


class ClassAccuracy(Metric):
    """Share of generated samples whose largest logit is the class they were asked for.

    The classifier is the extractor's: it must know the reference's classes, by the same numbers,
    and its own accuracy on real samples is the ceiling. The reference is looked at for its classes
    alone. The interval is over draws of the generated samples.
    """

    needs: Set[str] = frozenset({"logits", "labels"})
    sides: Set[str] = frozenset({"reference", "generated"})
    outputs: Mapping[str, Output] = {
        "class_accuracy": Output(True, "class accuracy", "fidelity", decimals=3)
    }
    version = 1
    full_state_update = False

    reference_labels: list[Tensor]
    generated_logits: list[Tensor]
    generated_labels: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("reference_labels", [], dist_reduce_fx="cat")
        self.add_state("generated_logits", [], dist_reduce_fx="cat")
        self.add_state("generated_labels", [], dist_reduce_fx="cat")

    def update(self, features: Features, side: str) -> None:
        """Add ``features["labels"]``, ``(B,)``, of ``"reference"`` or ``"generated"``, and of the
        latter ``features["logits"]``, ``(B, K)``. Raises ``UsageError`` without labels."""
        require_labels("class_accuracy", features, side)
        getattr(self, f"{side}_labels").append(features["labels"])
        if side == "generated":
            self.generated_logits.append(features["logits"])

    def compute(self) -> Mapping[str, Estimate]:
        logits = dim_zero_cat(self.generated_logits)
        classes = len(torch.unique(dim_zero_cat(self.reference_labels)))
        if classes != logits.shape[1]:
            raise UsageError(
                "class_accuracy needs an extractor that classifies into the reference's "
                f"{classes} classes; this one has {logits.shape[1]}"
            )
        right = logits.argmax(dim=1) == dim_zero_cat(self.generated_labels)
        return {"class_accuracy": share(right)}


def require_labels(metric: str, features: Features, side: str) -> None:
    """Raises ``UsageError`` if ``features`` of ``side`` have no labels."""
    if "labels" not in features:
        raise UsageError(f"{metric} needs {side} samples with labels; these have none")
