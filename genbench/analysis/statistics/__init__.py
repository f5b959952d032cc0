"""Intervals and comparisons over seeds."""

from __future__ import annotations

from genbench.analysis.statistics.comparisons import (
    Difference,
    GroupComparison,
    compare,
    holm,
    pooled_ranks,
    share_above,
    welch,
    welch_all,
)
from genbench.analysis.statistics.summaries import (
    LEAST_FOR_INTERVAL,
    LEAST_SEEDS,
    LEVEL,
    Summary,
    centre,
    interquartile_intervals,
    interquartile_mean,
    is_ratio_scale,
    mean_interval,
    quantile,
    ranked,
    summarize,
)
from genbench.analysis.statistics.tuning import (
    Intervals,
    expected_best,
    intervals,
    near_best,
    setting_score,
)

__all__ = [
    "LEAST_FOR_INTERVAL",
    "LEAST_SEEDS",
    "LEVEL",
    "Difference",
    "GroupComparison",
    "Intervals",
    "Summary",
    "centre",
    "compare",
    "expected_best",
    "holm",
    "interquartile_intervals",
    "interquartile_mean",
    "intervals",
    "is_ratio_scale",
    "mean_interval",
    "near_best",
    "pooled_ranks",
    "quantile",
    "ranked",
    "setting_score",
    "share_above",
    "summarize",
    "welch",
    "welch_all",
]
