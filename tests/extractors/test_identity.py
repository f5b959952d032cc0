"""The identity extractor."""

from __future__ import annotations

import torch

from genbench.api import SampleSpec
from genbench.extractors.identity import identity


def test_points_are_their_own_features() -> None:
    points = torch.randn(5, 2)
    features = identity()(points, SampleSpec("points", (2,), levels=None))["features"]
    assert features.dtype == torch.float64
    assert features.equal(points.double())


def test_images_are_flattened_levels() -> None:
    spec = SampleSpec("image", (3, 2, 2))
    stored = torch.arange(24, dtype=torch.uint8).view(2, 3, 2, 2)
    extractor = identity().to("cpu")
    assert extractor.supports(spec) is None
    assert extractor(stored, spec)["features"].tolist() == [[*range(12)], [*range(12, 24)]]
    assert (extractor.id, extractor.resize) == ("identity", "none")
