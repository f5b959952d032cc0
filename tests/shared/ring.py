"""A suite of points that takes a moment, to which a test adds its entries."""

from __future__ import annotations

SUITE = """\
dataset = "points-ring"
seeds = [0]
examples = 64
samples = 32
[score]
extractor = "identity"
reference = "points-ring:test"
metrics = ["frechet_distance", "coverage"]
snapshots = { count = 1, samples = 32 }
"""
