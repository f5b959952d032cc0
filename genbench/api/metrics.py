"""Features → numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol


@dataclass  # not frozen: torchmetrics rebuilds what ``compute`` returns field by field
class Estimate:
    """A score, and its 95 % interval over draws of the samples, if one is known."""

    value: float
    """NaN: there is no such score of these samples, and ``note`` says why."""
    low: float | None = None
    high: float | None = None
    note: str | None = None
    """A caution for the reader, for example that there are too few samples."""

    @property
    def interval(self) -> str:
        """``[low, high]``, or empty."""
        if self.low is None or self.high is None:
            return ""
        return f"[{self.low:.6g}, {self.high:.6g}]"


@dataclass(frozen=True)
class Output:
    """What one score of a metric means, and how tables show it."""

    higher_is_better: bool
    heading: str
    """The heading of its column: ``Fréchet distance``."""
    group: str
    """The group of columns: ``fidelity``, ``diversity``, ``memorization``, or another."""
    decimals: int | None = None
    """``None``: as many as give the column's median three significant digits."""
    floor: Literal["train", "reference"] | None = "train"
    """Which real samples are scored for the real row: those of the training set, or of the
    reference, for a metric that looks at the training set. ``None``: the real row has no such
    score."""
    minimum: float | None = None
    """The least value that it can have: 0 for a distance, whose intervals over seeds are then taken
    on a logarithmic scale. A share, which has a greatest value too, and an unbiased estimate, which
    may be negative, declare none."""
    names: Mapping[str, str] = field(default_factory=dict)
    """By extractor: the name that the literature has for the score over these features alone,
    ``{"inception": "FID"}``."""


LIKELIHOOD = "bits_per_dim"
LIKELIHOOD_OUTPUT = Output(False, "bits / dim", "other scores", decimals=3)
"""The score of models that offer a likelihood, which no metric computes."""


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
    def outputs(self) -> Mapping[str, Output]:
        """The scores that it computes, by name. They are read from the factory before it is
        called."""
        ...

    @property
    def to(self) -> Callable[..., Any]: ...

    @property
    def update(self) -> Callable[..., None]:
        """``update(features: Features, side: str)``: a batch of one side."""
        ...

    @property
    def compute(self) -> Callable[..., Mapping[str, Estimate]]:
        """``compute()``: all outputs at once."""
        ...
