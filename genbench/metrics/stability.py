"""Stability: histories of a training → numbers.

Loss spikes and the gradient's tail depend on the unit of a loss: diagnostics, comparable within a
family of models. What is computed from distances along training is free of it and comparable across
families. A number that is undefined for a history (no finite value, say) is ``None``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
    before it (Iglewicz & Hoaglin 1993) exceeds ``SPIKE``; steps out in a row are one spike, as
    Chowdhery et al. 2022, section 5.1, count them. This is the spike score of OLMo et al. 2025 made
    robust: a median and a MAD do not follow the spike itself. Above a constant window any rise is
    out. The first 100 steps are not judged; non-finite losses are left out.
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
    negative, in the order of training, and lower is better; non-finite ones are left out.
    """
    x = _finite(distances)
    if len(x) == 0 or x.min() <= 0:
        return None
    return float(x[-1] / x.min())


def longest_fall(distances: ArrayLike) -> float | None:
    """The largest relative worsening after a best so far: max over i ≤ j of d_j/d_i - 1, in [0, ∞).

    The maximum drawdown, Chan et al. 2020's measure of the risk along one training, here relative,
    since distances of different models differ in scale. 0: never a step back; 1: at some time twice
    as far from the data as before. Distances as in ``last_over_best``.
    """
    x = _finite(distances)
    if len(x) == 0 or x.min() <= 0:
        return None
    return float((x / np.minimum.accumulate(x)).max() - 1)


def summary(history: pd.DataFrame, snapshots: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """All of these for one run, JSON-like.

    ``history``: a row a turn, with the columns ``step``, ``player``, ``loss``, ``gradient_norm``.
    ``snapshots``: ``{"images": n, "weights": "ema" | "raw", "scores": {"frechet_distance": d}}``;
    an untrained one (0 images) is no best to fall from: left out unless it is the only one.

    Returns ``first_nonfinite_step`` (``None``: never); by player ``loss_spikes`` and
    ``gradient_tail``; by weights ``last_over_best`` and ``longest_fall`` of the Fréchet distance.
    """
    finite = np.isfinite(history[["loss", "gradient_norm"]].to_numpy(np.float64)).all(axis=1)
    nonfinite_steps = history["step"].to_numpy()[~finite]
    turns = {str(player): rows for player, rows in history.groupby("player", sort=False)}
    distances = {
        weights: _along_training(s for s in snapshots if s["weights"] == weights)
        for weights in dict.fromkeys(s["weights"] for s in snapshots)
    }
    return {
        "first_nonfinite_step": int(nonfinite_steps[0]) if len(nonfinite_steps) else None,
        "loss_spikes": {player: loss_spikes(rows["loss"]) for player, rows in turns.items()},
        "gradient_tail": {
            player: gradient_tail(rows["gradient_norm"]) for player, rows in turns.items()
        },
        "last_over_best": {name: last_over_best(values) for name, values in distances.items()},
        "longest_fall": {name: longest_fall(values) for name, values in distances.items()},
    }


def _along_training(snapshots: Iterable[Mapping[str, Any]]) -> list[float]:
    scored = sorted(
        (s["images"], s["scores"]["frechet_distance"])
        for s in snapshots
        if s["scores"].get("frechet_distance") is not None
    )
    trained = [(images, distance) for images, distance in scored if images > 0]
    return [distance for _, distance in trained or scored]


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    x = np.asarray(values, dtype=np.float64)
    return x[np.isfinite(x)]
