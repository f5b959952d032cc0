"""Samples → features, by fixed weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from genbench.api.samples import SampleSpec

Features: TypeAlias = "Mapping[str, Tensor]"
"""What an extractor sees in B samples: ``{"features": (B, D), "logits": (B, K), …}``. The harness
adds what the samples are conditioned on, as ``"condition.NAME"``; as ``"labels": (B,)`` the classes
of the ``Categorical`` condition ``label`` or, without it, of the only one, if any; and as
``"prompt": (B,)``, int64, a number that is equal where samples were asked for the same: the same
texts, if they have texts, or else the same conditions."""


class FeatureExtractor(Protocol):
    """Samples → features, by fixed weights.

    An extractor may offer *capabilities*, which are asked for by name:

    ``conditions: Set[str]``
        What it must know beside the samples, as ``{"caption"}`` or ``{"length"}``. It is then
        called as ``extractor(stored, spec, condition, texts)``, with the values of these conditions
        and, of a ``Text``, the words where they are known.
    ``facts(stored, spec, condition, texts) -> Sequence[Mapping[str, bool]]``
        For each sample, what its text states, by name, and whether that holds: the page marks it.
        Called with what ``conditions`` names.
    """

    @property
    def id(self) -> str:
        """Names the exact weights, and every option that changes a feature: ``digits@1f0c…``."""
        ...

    def supports(self, spec: SampleSpec) -> str | None:
        """``None``, or the reason why samples of this kind cannot be embedded."""
        ...

    def to(self, device: torch.device | str) -> FeatureExtractor:
        """The same extractor with its weights on ``device``."""
        ...

    def __call__(self, stored: Tensor, spec: SampleSpec) -> Features:
        """Features of ``(B, *shape)`` in the *stored* view, so that quantisation and resizing are
        the same for everybody. Any float dtype; rows in the order of the samples."""
        ...
