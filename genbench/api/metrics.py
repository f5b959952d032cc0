"""Features → numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass  # not frozen: torchmetrics rebuilds what ``compute`` returns field by field
class Estimate:
    """A score, and its 95 % interval over draws of the samples, where one is known."""

    value: float
    low: float | None = None
    high: float | None = None
    note: str | None = None
    """What a reader of the number must know: too few samples for it to mean anything, say."""


class Metric(Protocol):
    """Features → numbers. ``torchmetrics.Metric`` carries the state, so that it can be synced."""

    @property
    def needs(self) -> Set[str]:
        """The features it reads: ``{"features"}``, ``{"logits"}``, …"""
        ...

    @property
    def sides(self) -> Set[str]:
        """Which of ``"train"``, ``"reference"``, ``"generated"`` it must see."""
        ...

    @property
    def outputs(self) -> Mapping[str, bool]:
        """The scores it computes by name → whether higher is better."""
        ...

    @property
    def to(self) -> Callable[..., Any]: ...

    @property
    def update(self) -> Callable[..., None]:
        """``update(features: Features, side: str)``: a batch of one side."""
        ...

    @property
    def compute(self) -> Callable[..., Mapping[str, Estimate]]:
        """``compute()``: every output, in one go."""
        ...
