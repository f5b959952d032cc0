"""Samples → features, by fixed weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from genbench.api.samples import SampleSpec

Features: TypeAlias = "Mapping[str, Tensor]"
"""What an extractor sees in B samples: ``{"features": (B, D), "logits": (B, K), …}``, and
``"labels": (B,)`` added by the harness where the samples carry labels."""


class FeatureExtractor(Protocol):
    """Samples → features, by fixed weights."""

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
