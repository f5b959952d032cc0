"""The learning rate and the optimiser."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from baselines.optimizers import OptimizerConfig
from genbench.api import Progress


def rates(learning: OptimizerConfig, steps: int = 1001) -> list[float]:
    """Of 1, at equal distances over a training of 100,000 examples, both ends included."""
    return [learning.schedule(Progress(k, 100 * k, 100_000)) for k in range(steps)]


def test_the_learning_rate_rises_then_falls_to_0() -> None:
    whole = rates(OptimizerConfig(1.0))
    peak = whole.index(max(whole))
    assert whole[0] == 0
    assert 0.99 < whole[peak] <= 1
    assert peak == 20
    assert whole[:peak] == sorted(whole[:peak])
    assert whole[peak:] == sorted(whole[peak:], reverse=True)
    assert whole[510] == pytest.approx(0.5, abs=0.02)
    assert whole[-1] == pytest.approx(0)


def test_it_may_fall_linearly() -> None:
    whole = rates(OptimizerConfig(1.0, "linear", warmup=10_000))
    assert whole[100:] == pytest.approx([1 - k / 1000 for k in range(100, 1001)])


def test_without_decay_it_stays_at_its_peak() -> None:
    whole = rates(OptimizerConfig(1.0, "none", warmup=40_000))
    assert whole[200] == pytest.approx(0.5)
    assert whole[399] < 1
    assert set(whole[400:]) == {1}


def test_the_warmup_may_be_given_in_examples() -> None:
    given = OptimizerConfig(1.0, "none", warmup=640_000)
    assert given.schedule(Progress(1, 128, 10**8)) == 128 / 640_000
    assert OptimizerConfig(1.0, "none").schedule(Progress(1, 10, 1000)) == 0.5


def test_adam_and_a_clipped_norm() -> None:
    how = OptimizerConfig(5e-4, beta2=0.999).optimization()
    optimizer = how.optimizer(nn.Linear(2, 2).named_parameters())
    assert isinstance(optimizer, torch.optim.Adam)
    assert optimizer.defaults["betas"] == (0.9, 0.999)
    assert optimizer.defaults["lr"] == 5e-4
    assert how.schedule(Progress(2, 20, 1000)) == pytest.approx(1, rel=0.01)
    assert how.clip_norm == 1.0
