"""Spatial Fréchet distance: the Fréchet distance of other features."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from genbench.api.errors import UsageError
from genbench.metrics.frechet import FrechetDistance
from genbench.metrics.spatial_frechet import SpatialFrechetDistance


def rows(side: str) -> Tensor:
    stream = torch.Generator().manual_seed(len(side))
    return torch.randn(90, 6, generator=stream) + (side == "generated")


def test_is_the_frechet_distance_of_the_spatial_features_and_looks_at_no_others() -> None:
    spatial, plain = SpatialFrechetDistance(), FrechetDistance()
    for side in ("reference", "generated"):
        for part in rows(side).split(40):
            spatial.update({"spatial": part, "features": 100 * part}, side)
            plain.update({"features": part}, side)
    computed = spatial.compute()
    assert computed == {"spatial_frechet_distance": plain.compute()["frechet_distance"]}
    assert computed["spatial_frechet_distance"].low is not None


def test_needs_spatial_features_alone() -> None:
    assert SpatialFrechetDistance.needs == {"spatial"}
    assert SpatialFrechetDistance().outputs.keys() == {"spatial_frechet_distance"}


def test_is_called_by_its_own_name_where_it_is_refused() -> None:
    metric = SpatialFrechetDistance()
    metric.accept_moments(torch.zeros(7), torch.eye(7), None)
    metric.update({"spatial": rows("generated")}, "generated")
    with pytest.raises(UsageError, match=r"^spatial_frechet_distance: the reference has 7"):
        metric.compute()
