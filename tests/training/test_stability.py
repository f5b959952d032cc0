"""Stability numbers against scipy, closed forms and histories made by hand."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import halfnorm, median_abs_deviation

from genbench.training import stability
from genbench.training.stability import (
    examples_to_threshold,
    gradient_tail,
    last_over_best,
    loss_spikes,
    max_drawdown,
    mean_along_training,
    summary,
)

NAN, INF = math.nan, math.inf


def noise(steps: int, seed: int = 0) -> np.ndarray:
    return 1 + 0.1 * np.random.default_rng(seed).standard_normal(steps)


def test_ordinary_noise_on_a_falling_loss_has_no_spikes() -> None:
    assert loss_spikes(noise(5000) + 10 * np.exp(-np.arange(5000) / 500)) == 0


def test_each_jump_is_one_spike_however_long_it_lasts() -> None:
    loss = noise(1000)
    loss[300] += 5
    loss[500:520] += 5
    loss[999] += 5
    assert loss_spikes(loss) == 3


def test_a_drop_is_no_spike_and_a_new_level_is_one() -> None:
    assert loss_spikes(np.concatenate([noise(300), noise(300) - 5])) == 0
    assert loss_spikes(np.concatenate([noise(300), noise(300) + 5])) == 1


@pytest.mark.parametrize(("score", "expected"), [(6.99, 0), (7.01, 1)])
def test_threshold_is_seven_modified_z(score: float, expected: int) -> None:
    """The scale is scipy's MAD of exactly the 100 steps before: an older jump is out of sight."""
    before = noise(100)
    mad = float(median_abs_deviation(before))
    last = float(np.median(before)) + score * mad / 0.6745
    assert loss_spikes([*before, last]) == expected
    assert loss_spikes([*(before + 100), *before, last]) == expected


def test_any_rise_above_a_constant_loss_is_a_spike() -> None:
    assert loss_spikes([1.0] * 200) == 0
    assert loss_spikes([1.0] * 200 + [1.5]) == 1


def test_first_steps_and_nonfinite_losses_are_not_judged() -> None:
    loss = noise(400)
    loss[50] += 100
    loss[[200, 201]] = NAN, INF
    assert loss_spikes(loss) == 0
    assert loss_spikes(loss[:100]) == 0
    assert loss_spikes([]) == 0


def test_a_skewed_loss_has_spikes_by_itself() -> None:
    """Exponential: P(x > median + 7 MAD / 0.6745), more for being estimated from 100 steps."""
    mad = math.asinh(0.5)  # of e^-x: P(ln 2 - m < x < ln 2 + m) = sinh m = 1/2
    expected = 0.5 * math.exp(-7 * mad / 0.6745)
    assert expected == pytest.approx(0.0034, abs=1e-4)
    spikes = loss_spikes(np.random.default_rng(0).exponential(size=50_000))
    assert expected < spikes / 50_000 < 2 * expected


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = noise(600)
    loss[[250, 251, 252, 400]] += 5
    monkeypatch.setattr(stability, "CHUNK", 7)
    assert loss_spikes(loss) == 2


def test_gradient_tail_of_known_distributions() -> None:
    quantiles = (np.arange(100_000) + 0.5) / 100_000
    expected = halfnorm.ppf(0.99) / halfnorm.ppf(0.5)
    assert gradient_tail(halfnorm.ppf(quantiles)) == pytest.approx(expected, rel=1e-3)
    assert gradient_tail([3.0] * 50) == 1.0


def test_gradient_tail_leaves_out_what_is_not_finite() -> None:
    assert gradient_tail([2.0] * 50 + [INF, NAN]) == 1.0
    assert gradient_tail([]) is None
    assert gradient_tail([NAN]) is None
    assert gradient_tail([0.0] * 50) is None


@pytest.mark.parametrize(
    ("distances", "over_best", "fall"),
    [
        ([8.0, 4.0, 2.0], 1.0, 0.0),
        ([8.0, 2.0, 3.0], 1.5, 0.5),
        # The deepest fall need not be from the best of all, nor last to the end.
        ([8.0, 4.0, 12.0, 2.0, 3.0, 2.5], 1.25, 2.0),
        # A rise over several snapshots counts whole.
        ([4.0, 5.0, 6.0, 8.0], 2.0, 1.0),
        ([3.0], 1.0, 0.0),
    ],
)
def test_distances_along_training(distances: list[float], over_best: float, fall: float) -> None:
    assert last_over_best(distances) == pytest.approx(over_best)
    assert max_drawdown(distances) == pytest.approx(fall)


@pytest.mark.parametrize("value", [NAN, INF])
def test_a_distance_that_is_not_finite_is_a_fall_without_bound(value: float) -> None:
    assert last_over_best([4.0, 2.0, value, 5.0]) == 2.5
    assert max_drawdown([4.0, 2.0, value, 5.0]) is None
    assert last_over_best([4.0, 2.0, value]) is None
    assert max_drawdown([4.0, 2.0, value]) is None


@pytest.mark.parametrize("distances", [[], [NAN], [1.0, 0.0, 2.0]])
def test_ratios_that_are_undefined(distances: list[float]) -> None:
    assert last_over_best(distances) is None
    assert max_drawdown(distances) is None


def test_scale_of_the_distance_does_not_matter() -> None:
    distances = np.random.default_rng(0).random(20) + 0.1
    assert last_over_best(1000 * distances) == pytest.approx(last_over_best(distances))
    assert max_drawdown(1000 * distances) == pytest.approx(max_drawdown(distances))


def turns(steps: int) -> pd.DataFrame:
    """A game of two; the generator's loss jumps at step 150, and its gradient has a heavy tail."""
    rows: list[dict[str, Any]] = []
    for step in range(steps):
        jump = 5.0 if step == 150 else 0.0
        norm = 10.0 if step % 20 == 0 else 1.0
        rows.append({"step": step, "player": "discriminator", "loss": 1.0, "gradient_norm": 2.0})
        rows.append(
            {"step": step, "player": "generator", "loss": 2.0 + jump, "gradient_norm": norm}
        )
    return pd.DataFrame(rows).assign(examples=lambda t: 64 * t["step"])


def snapshot(images: int, weights: str, distance: float | None) -> dict[str, Any]:
    return {"examples": images, "weights": weights, "scores": {"frechet_distance": distance}}


def test_summary_of_a_game() -> None:
    snapshots = [
        snapshot(0, "ema", 0.5),  # untrained: no best to fall from
        snapshot(200, "ema", 3.0),  # not in the order of training
        snapshot(100, "ema", 2.0),
        snapshot(0, "raw", 9.0),
        snapshot(100, "raw", 8.0),
        snapshot(200, "raw", 4.0),
        snapshot(300, "raw", 5.0),
        {"examples": 400, "weights": "raw", "scores": {}},  # not scored
    ]
    assert summary(turns(200), snapshots, "frechet_distance") == {
        "first_nonfinite_step": None,
        "loss_spikes": {"discriminator": 0, "generator": 1},
        "gradient_tail": {"discriminator": 1.0, "generator": 10.0},
        "last_over_best": {"ema": 1.5, "raw": 1.25},
        "max_drawdown": {"ema": 0.5, "raw": 0.25},
        "mean_along_training": {"ema": 2.5, "raw": 5.25},
    }
    reached = summary(turns(200), snapshots, "frechet_distance", threshold=2.5)
    assert reached["threshold"] == 2.5
    assert reached["examples_to_threshold"] == {"ema": 100, "raw": None}


@pytest.mark.parametrize("column", ["loss", "gradient_norm"])
@pytest.mark.parametrize("value", [NAN, INF])
def test_summary_of_a_divergence(column: str, value: float) -> None:
    history = turns(30)
    history.loc[history.index[-1], column] = value
    snapshots = [
        snapshot(0, "ema", 5.0),  # never trained far enough for another
        *(snapshot(images, "raw", d) for images, d in ((0, 6.0), (10, 3.0), (20, None))),
        *(snapshot(images, "last", d) for images, d in ((0, 6.0), (10, 3.0), (20, INF))),
        *(snapshot(images, "back", d) for images, d in ((10, 3.0), (20, None), (30, 6.0))),
    ]
    result = summary(history, snapshots, "frechet_distance")
    assert result["first_nonfinite_step"] == 29
    assert result["last_over_best"] == {"ema": None, "raw": None, "last": None, "back": 2.0}
    assert result["max_drawdown"] == {"ema": None, "raw": None, "last": None, "back": None}
    json.dumps(result, allow_nan=False)


def test_summary_of_a_training_that_never_began() -> None:
    assert summary(turns(1).iloc[:0], [], "frechet_distance") == {
        "first_nonfinite_step": None,
        "loss_spikes": {},
        "gradient_tail": {},
        "last_over_best": {},
        "max_drawdown": {},
        "mean_along_training": {},
    }


def test_mean_along_training_is_the_area_over_the_range() -> None:
    assert mean_along_training([0, 10, 40], [4.0, 2.0, 2.0]) == (3 * 10 + 2 * 30) / 40
    assert mean_along_training([10], [1.0]) is None
    assert mean_along_training([10, 20], [1.0, np.nan]) is None


def test_images_to_a_threshold() -> None:
    images, distances = [10, 20, 30, 40], [0.9, 0.5, 0.6, 0.1]
    assert examples_to_threshold(images, distances, 0.5) == 20
    assert examples_to_threshold(images, distances, 0.3) == 40
    assert examples_to_threshold(images, distances, 0.05) is None
    assert examples_to_threshold(images, [np.nan, 0.5, 0.6, 0.1], 0.5) == 20


def test_a_score_of_which_higher_is_better_is_judged_by_its_inverse() -> None:
    scores = {100: 2.0, 200: 8.0, 300: 4.0}
    snapshots = [
        {"examples": examples, "weights": "ema", "scores": {"inception_score": score}}
        for examples, score in scores.items()
    ]
    found = summary(turns(200), snapshots, "inception_score", higher_is_better=True, threshold=3.0)
    assert found["last_over_best"] == {"ema": 2.0}
    assert found["max_drawdown"] == {"ema": 1.0}
    assert found["mean_along_training"] == {"ema": 5.5}
    assert found["examples_to_threshold"] == {"ema": 200}
    assert summary(turns(200), snapshots, "frechet_distance")["last_over_best"] == {"ema": None}
