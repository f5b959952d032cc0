"""Every contestant on one, two and three devices: averaged gradients, and the same samples."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

import equality
import numpy as np
import pytest

from genbench.api import Variant
from genbench.devices.hardware import Hardware
from genbench.devices.launch import on_ranks

WORLDS = (1, 2, 3)


@cache
def seen(world: int) -> dict[str, equality.Seen]:
    """All contestants in one start of ``world`` processes."""
    hardware = Hardware(Path("data"), "cpu", devices=world)
    found: dict[str, equality.Seen] = on_ranks(hardware, "32-true", equality.see_all)
    return found


def test_none_is_left_out() -> None:
    points = entry_points(group="genbench.models")
    ours = {point.name: point.load() for point in points if point.module.startswith("baselines.")}
    untrained = {"diffusers"}  # which is sampled as it was published
    trained = {n for n, v in ours.items() if not isinstance(v, Variant)} - untrained
    assert trained == set(equality.TINY)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("name", equality.TINY)
def test_a_step_is_that_of_the_averaged_gradients(name: str, world: int) -> None:
    """In every turn of every step: a gradient of other weights would show in the next loss."""
    looped, defined = seen(world)[name].looped, seen(world)[name].defined
    assert list(looped.player) == list(defined.player)
    assert (defined.norm > 0).all()
    np.testing.assert_allclose(looped.loss, defined.loss, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(looped.gradient_norm, defined.norm, rtol=1e-3)


@pytest.mark.parametrize("name", equality.TINY)
def test_samples_are_the_same(name: str) -> None:
    """To the last bit."""
    one, two, three = (seen(world)[name].samples for world in WORLDS)
    assert len(one) == equality.COUNT
    assert one.equal(two)
    assert one.equal(three)
