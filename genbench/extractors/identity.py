"""The samples themselves as features: for points, and for comparisons without a network."""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.api import Features, SampleSpec


class Identity:
    """Flattened samples, float64."""

    id = "identity"
    resize = "none"

    def __init__(self) -> None:
        self._device = torch.device("cpu")

    def supports(self, spec: SampleSpec) -> None:
        """Anything can be flattened."""

    def to(self, device: torch.device | str) -> Identity:
        self._device = torch.device(device)
        return self

    def __call__(self, stored: Tensor, spec: SampleSpec) -> Features:
        """``features``: ``(B, D)`` float64, the stored values: coordinates, or levels 0 … levels-1,
        which are whole numbers, so that copies are at distance 0 exactly."""
        return {"features": stored.to(self._device).double().flatten(start_dim=1)}


def identity() -> Identity:
    """The samples themselves, flattened."""
    return Identity()
