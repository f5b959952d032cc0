"""Stability: histories of a training → numbers.

Loss spikes and the gradient's tail depend on the kind of loss: diagnostics, comparable within a
family of models. What is computed from distances along training is free of it and comparable across
families, with one caution: a distance has a floor that training does not lower (the bias of few
samples, a cheap sampler), and a ratio of distances over such a floor is pulled towards 1. A number
that is undefined for a history (no finite value, say) is ``None``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import trapezoid

if TYPE_CHECKING:
    import pandas as pd

WINDOW = 100
"""Steps that say what is usual before a step."""

SPIKE = 7.0
"""Modified z-score above which a loss is a spike: the seven deviations of OLMo et al. 2025."""

CHUNK = 65_536
"""Windows judged at once, to bound the memory."""


def loss_spikes(loss: ArrayLike) -> int:
    """How often a loss, ``(steps,)``, jumps out of what was usual over the 100 steps before it.

    A step is out where its modified z-score 0.6745 (x - median)/MAD over the ``WINDOW`` steps
    before it (Iglewicz & Hoaglin 1993) exceeds ``SPIKE``; steps out in a row are one spike.

    The spike score of OLMo et al. 2025 is the share of steps that are at least seven standard
    deviations, up or down, from the mean of the last 1,000. Here separate excursions are counted
    and not the share of steps; only rises count; the window is 100; and a median and a MAD, unlike
    a mean and a deviation, do not follow the spike itself. Skewed losses give some by themselves:
    of independent exponential ones, over 3 steps in 1,000 are out. Above a constant window any rise
    is out. The first 100 steps are not judged; non-finite losses are left out.
    """
    x = _finite(loss)
    if len(x) <= WINDOW:
        return 0
    windows = np.lib.stride_tricks.sliding_window_view(x[:-1], WINDOW)
    later = x[WINDOW:]
    out = np.concatenate(
        [
            _is_out(later[start : start + CHUNK], windows[start : start + CHUNK])
            for start in range(0, len(later), CHUNK)
        ]
    )
    return int(np.count_nonzero(out[1:] & ~out[:-1]) + out[0])


def _is_out(x: NDArray[np.float64], windows: NDArray[np.float64]) -> NDArray[np.bool_]:
    median = np.median(windows, axis=1)
    deviation = np.median(np.abs(windows - median[:, None]), axis=1)
    return np.asarray(0.6745 * (x - median) > SPIKE * deviation)


def gradient_tail(norms: ArrayLike) -> float | None:
    """99th percentile over median of gradient norms before clipping, ``(steps,)``: in [1, ∞).

    Heavy tails of gradient noise (Şimşekli et al. 2019) as a ratio without a unit: 3.8 for the norm
    of one Gaussian coordinate, near 1 for many. Non-finite norms are left out.
    """
    x = _finite(norms)
    if len(x) == 0 or np.median(x) <= 0:
        return None
    return float(np.percentile(x, 99) / np.median(x))


def last_over_best(distances: ArrayLike) -> float | None:
    """The last of some distances along training over the least of them: in [1, ∞).

    1: training ended at its best; 2: twice as far from the data as it once was. Distances are not
    negative, in the order of training, and lower is better. A non-finite one is no best; where it
    is the last, this is ``None``.
    """
    x = np.asarray(distances, dtype=np.float64)
    if len(x) == 0 or not np.isfinite(x[-1]):
        return None
    best = _finite(x).min()
    return float(x[-1] / best) if best > 0 else None


def max_drawdown(distances: ArrayLike) -> float | None:
    """The largest relative worsening after a best so far: max over i ≤ j of d_j/d_i - 1, in [0, ∞).

    The maximum of the drawdown, of which Chan et al. 2020 take the CVaR as the risk along one
    training; here relative, since distances of different models differ in scale. 0: never a step
    back; 1: at some time twice as far from the data as before. Distances as in ``last_over_best``;
    where one is not finite the fall is without bound, and this is ``None``.
    """
    x = np.asarray(distances, dtype=np.float64)
    if len(x) == 0 or not np.isfinite(x).all() or x.min() <= 0:
        return None
    return float((x / np.minimum.accumulate(x)).max() - 1)


def mean_along_training(examples: ArrayLike, distances: ArrayLike) -> float | None:
    """The area under the curve of a distance along training, over its range of examples: the mean
    distance on the way, by trapezoids. Low for who is near the data soon.

    ``examples``: ``(snapshots,)``, ascending. ``None`` for fewer than two snapshots, and where a
    distance is not finite.
    """
    x, y = np.asarray(examples, dtype=np.float64), np.asarray(distances, dtype=np.float64)
    if len(x) < 2 or not np.isfinite(y).all():
        return None
    return float(trapezoid(y, x) / (x[-1] - x[0]))


def examples_to_threshold(
    examples: ArrayLike, distances: ArrayLike, threshold: float
) -> float | None:
    """Examples seen at the first snapshot whose distance is at most ``threshold``; ``None`` if
    none is. As fine as the snapshots are: nothing is interpolated."""
    x, y = np.asarray(examples, dtype=np.float64), np.asarray(distances, dtype=np.float64)
    reached = x[y <= threshold]
    return float(reached[0]) if len(reached) else None


def summary(
    history: pd.DataFrame,
    snapshots: Sequence[Mapping[str, Any]],
    headline: str,
    *,
    higher_is_better: bool = False,
    threshold: float | None = None,
) -> dict[str, Any]:
    """All of these for one run, JSON-like.

    ``history``: a row a turn, with the columns ``step``, ``player``, ``loss``, ``gradient_norm``.
    ``snapshots``: ``{"examples": n, "weights": "ema" | "raw", "scores": {headline: d}}``; ``None``
    for a score that is not finite. Left out: one without the score, and the untrained one (0
    examples), which is no best to fall from. ``headline``: a distance, or a score of which
    ``higher_is_better``, whose inverse is judged as one. ``threshold``: of it, to reach.

    Returns ``first_nonfinite_step`` (``None``: never); by player ``loss_spikes`` and
    ``gradient_tail``; by weights ``last_over_best``, ``max_drawdown``, ``mean_along_training`` (of
    the score itself), and ``examples_to_threshold`` with the ``threshold`` if given.
    """
    finite = np.isfinite(history[["loss", "gradient_norm"]].to_numpy(np.float64)).all(axis=1)
    nonfinite_steps = history["step"].to_numpy()[~finite]
    turns = {str(player): rows for player, rows in history.groupby("player", sort=False)}
    curves = {
        weights: _along_training((s for s in snapshots if s["weights"] == weights), headline)
        for weights in dict.fromkeys(s["weights"] for s in snapshots)
    }
    distances = {
        name: inverse(scores) if higher_is_better else scores
        for name, (_, scores) in curves.items()
    }
    told: dict[str, Any] = {
        "first_nonfinite_step": int(nonfinite_steps[0]) if len(nonfinite_steps) else None,
        "loss_spikes": {player: loss_spikes(rows["loss"]) for player, rows in turns.items()},
        "gradient_tail": {
            player: gradient_tail(rows["gradient_norm"]) for player, rows in turns.items()
        },
        "last_over_best": {name: last_over_best(curve) for name, curve in distances.items()},
        "max_drawdown": {name: max_drawdown(curve) for name, curve in distances.items()},
        "mean_along_training": {
            name: mean_along_training(*curve) for name, curve in curves.items()
        },
    }
    if threshold is not None:
        told["threshold"] = threshold
        sign = -1 if higher_is_better else 1
        told["examples_to_threshold"] = {
            name: examples_to_threshold(examples, np.multiply(sign, scores), sign * threshold)
            for name, (examples, scores) in curves.items()
        }
    return told


def inverse(scores: ArrayLike) -> NDArray[np.float64]:
    """1/x: a score of which higher is better as a distance, ∞ for 0."""
    with np.errstate(divide="ignore"):
        return 1 / np.asarray(scores, dtype=np.float64)


def _along_training(
    snapshots: Iterable[Mapping[str, Any]], headline: str
) -> tuple[list[int], list[float]]:
    """Examples seen and the score there, in the order of training."""
    scores = {
        s["examples"]: s["scores"][headline]
        for s in snapshots
        if s["examples"] > 0 and headline in s["scores"]
    }
    examples = sorted(scores)
    found = [scores[count] for count in examples]
    return examples, [math.nan if score is None else score for score in found]


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    x = np.asarray(values, dtype=np.float64)
    return x[np.isfinite(x)]
