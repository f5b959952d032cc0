"""Intervals and comparisons over seeds."""

from __future__ import annotations

from genbench.statistics.comparisons import (
    LEAST_SEEDS,
    Comparison,
    Difference,
    compare,
    holm,
    pooled_ranks,
    welch,
)
from genbench.statistics.summaries import (
    COLLAPSE_FRACTION,
    LEVEL,
    Summary,
    collapsed,
    interquartile_mean,
    mean_interval,
    quantile,
    ranked,
    summarize,
)

__all__ = [
    "COLLAPSE_FRACTION",
    "LEAST_SEEDS",
    "LEVEL",
    "Comparison",
    "Difference",
    "Summary",
    "collapsed",
    "compare",
    "holm",
    "interquartile_mean",
    "mean_interval",
    "pooled_ranks",
    "quantile",
    "ranked",
    "summarize",
    "welch",
]
