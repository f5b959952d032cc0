"""Contestants timed in turn, so that a busy moment of the machine is nobody's alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)


def fastest(contestants: Mapping[Name, Callable[[], object]], rounds: int) -> dict[Name, float]:
    """The least seconds of each over ``rounds``, after one call that is not counted."""
    for contestant in contestants.values():
        contestant()
    seconds = dict.fromkeys(contestants, float("inf"))
    for _ in range(rounds):
        for name, contestant in contestants.items():
            start = time.perf_counter()
            contestant()
            seconds[name] = min(seconds[name], time.perf_counter() - start)
    return seconds
