"""Spatial Fréchet distance: over features that keep positions (Nash et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping, Set

from genbench.api import Features, Output
from genbench.metrics.frechet import FrechetDistance


class SpatialFrechetDistance(FrechetDistance):
    """Fréchet distance over an extractor's ``"spatial"`` features, as ``frechet_distance`` is.

    It is the sFID only over the published Inception network, whose spatial features are 7 channels
    of 17×17, flattened: 2,023 numbers.
    """

    needs: Set[str] = frozenset({"spatial"})
    outputs: Mapping[str, Output] = {
        "spatial_frechet_distance": Output(
            False, "spatial Fréchet distance", "fidelity", minimum=0, names={"inception": "sFID"}
        )
    }

    def update(self, features: Features, side: str) -> None:
        """Add ``features["spatial"]``, ``(B, D)``, of ``"reference"`` or ``"generated"``."""
        super().update({"features": features["spatial"]}, side)
