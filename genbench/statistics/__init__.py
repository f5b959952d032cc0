"""Intervals and comparisons over seeds."""

from __future__ import annotations

from genbench.statistics.comparisons import (
    LEAST_SEEDS,
    LEVEL,
    Comparison,
    Difference,
    compare,
    holm,
    pooled_ranks,
    welch,
)
from genbench.statistics.summaries import (
    COLLAPSE_FRACTION,
    Summary,
    collapsed,
    interquartile_mean,
    quantile,
    ranked,
    summarize,
)
from genbench.statistics.tuning import (
    Intervals,
    expected_best,
    intervals,
    near_best,
    setting_score,
)

__all__ = [
    "COLLAPSE_FRACTION",
    "LEAST_SEEDS",
    "LEVEL",
    "Comparison",
    "Difference",
    "Intervals",
    "Summary",
    "collapsed",
    "compare",
    "expected_best",
    "holm",
    "interquartile_mean",
    "intervals",
    "near_best",
    "pooled_ranks",
    "quantile",
    "ranked",
    "setting_score",
    "summarize",
    "welch",
]
