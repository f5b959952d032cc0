"""Class labels: which models take them, and guidance by them.

A network of K classes takes labels 0 … K, of which K means that there is no label.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeAlias

import torch
from pydantic import Field
from torch import Tensor

from genbench.api import Categorical, Condition, SampleSpec
from genbench.api.errors import UsageError

Guidance: TypeAlias = Annotated[float, Field(ge=0)]
"""A sampling option of the contestants."""


def class_count(spec: SampleSpec, *, conditional: bool) -> int:
    """How many classes a model of such samples has: 0 unless it is ``conditional``.

    Raises:
        UsageError: ``conditional``, and the samples have no labels.
    """
    if not conditional:
        return 0
    label = spec.condition.get("label")
    if not isinstance(label, Categorical):
        raise UsageError("conditional = true needs labels, and this data has no labels")
    return label.count


def conditions_of(classes: int) -> frozenset[str]:
    """The names of the conditions that a model of so many classes takes."""
    return frozenset({"label"} if classes else ())


def labels_of(condition: Condition, conditions: frozenset[str]) -> Tensor | None:
    """The labels ``(B,)`` in ``condition`` if they are among a model's ``conditions``."""
    return condition["label"] if "label" in conditions else None


@dataclass(frozen=True)
class Labels:
    """Of a model with so many ``classes``; 0: it is unconditional."""

    classes: int = 0
    dropout: float = 0.1
    """The share of labels that training replaces by K (Ho & Salimans 2022, algorithm 1)."""

    @property
    def conditions(self) -> frozenset[str]:
        """What the model is conditioned on, by name."""
        return conditions_of(self.classes)

    def of(self, condition: Condition) -> Tensor | None:
        """Labels ``(B,)``; ``None`` for an unconditional model."""
        return labels_of(condition, self.conditions)

    def dropped(self, condition: Condition) -> Condition:
        """The same with some of the labels K; of an unconditional model, the same."""
        if not self.classes:
            return condition
        labels = condition["label"]
        drop = torch.rand(len(labels), device=labels.device) < self.dropout
        return {**condition, "label": labels.masked_fill(drop, self.classes)}

    def check_guidance(self, guidance: float) -> None:
        """Raises ``UsageError`` if there are no labels to guide by."""
        if guidance != 1 and not self.classes:
            raise UsageError("guidance needs a model that was trained with conditional = true")


UNLABELLED = Labels()


@dataclass(frozen=True)
class LabelOptions:
    """Options of the diffusions that can be guided."""

    conditional: bool = False
    """Whether the model is conditioned on the labels."""
    label_dropout: Annotated[float, Field(ge=0, le=1)] = 0.1
    """The share of labels that are left out in training, for guidance."""

    def of(self, spec: SampleSpec) -> Labels:
        """Raises ``UsageError`` if the model is conditional and ``spec`` has no labels."""
        return Labels(class_count(spec, conditional=self.conditional), self.label_dropout)


def guided(
    predict: Callable[[Tensor, Tensor, Tensor], Tensor],
    x_t: Tensor,
    t: Tensor,
    labels: Tensor,
    null: int,
    scale: float,
) -> Tensor:
    """Classifier-free guidance: F_null + ``scale`` (F_label - F_null) ``(B, *)``.

    A denoiser is affine in F, so this guides E[x_0 | x_t] as it does the score (Ho & Salimans 2022,
    eq. 6, whose w is ``scale`` - 1). ``predict`` is called once, with 2 B rows.

    Channels beyond those of x_t, a learned variance's, are F_label's own.
    """
    both = predict(
        torch.cat([x_t, x_t]),
        t if t.ndim == 0 else torch.cat([t, t]),
        torch.cat([labels, torch.full_like(labels, null)]),
    )
    with_label, without = both.chunk(2)
    features = x_t.shape[1]
    mixed = torch.lerp(without[:, :features], with_label[:, :features], scale)
    return torch.cat([mixed, with_label[:, features:]], dim=1)
