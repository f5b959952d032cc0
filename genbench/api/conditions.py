"""What samples may be conditioned on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

Condition: TypeAlias = "Mapping[str, Tensor]"
"""What samples are conditioned on, by name: ``{"label": (B,) int64}``; empty when unconditional."""


@dataclass(frozen=True)
class Categorical:
    """A condition that takes one of ``count`` classes, numbered from 0."""

    count: int


ConditionSpec: TypeAlias = Categorical
