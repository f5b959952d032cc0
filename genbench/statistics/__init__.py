"""Intervals and comparisons over seeds."""

from __future__ import annotations

from genbench.statistics.comparisons import (
    Comparison,
    Difference,
    compare,
    holm,
    pooled_ranks,
    welch,
)
from genbench.statistics.summaries import (
    COLLAPSE_FRACTION,
    LEAST_SEEDS,
    LEVEL,
    Summary,
    collapsed,
    interquartile_interval,
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
    "interquartile_interval",
    "interquartile_mean",
    "mean_interval",
    "pooled_ranks",
    "quantile",
    "ranked",
    "summarize",
    "welch",
]
