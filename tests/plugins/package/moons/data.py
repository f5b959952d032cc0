"""Points of the plane, on two half circles that reach into one another."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from sklearn.datasets import make_moons

from genbench import SampleSpec, TensorSamples
from genbench.api.errors import UsageError, did_you_mean

SPLITS = {"train": 0, "test": 1}
"""By name: the seed."""


def moons(argument: str, data_dir: Path) -> TensorSamples:
    """Two moons (scikit-learn), 1,000 points a split, within about [-1, 1]²."""
    split = argument or "train"
    if split not in SPLITS:
        raise UsageError(f"dataset 'moons' has no split {split!r}{did_you_mean(split, SPLITS)}")
    points, _ = make_moons(1000, noise=0.05, random_state=SPLITS[split])
    points = ((points - (0.5, 0.25)) / 1.5).astype("float32")
    content = hashlib.sha256(points.tobytes()).hexdigest()[:16]
    spec = SampleSpec("points", (2,), levels=None)
    return TensorSamples(spec, f"moons:{split}@{content}", torch.from_numpy(points))
