"""What samples may be conditioned on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

Condition: TypeAlias = "Mapping[str, Tensor]"
"""What B samples are conditioned on, by name; empty when unconditional. int64 ``(B,)`` of a
``Categorical``, int64 ``(B, max_tokens)`` of a ``Text``, float32 ``(B, dim)`` of a ``Vector``."""

Texts: TypeAlias = Mapping[str, Sequence[str]]
"""The words behind the tokens of a ``Text``, by its name: B of them."""

LENGTH = "length"
"""A reserved name, of a ``Categorical(T + 1)``: how many of the T places along the first axis of
``space`` a sample fills. Those that follow are padding, which is zero in the stored view."""


@dataclass(frozen=True)
class Categorical:
    """A condition that takes one of ``count`` classes, numbered from 0."""

    count: int


@dataclass(frozen=True)
class Text:
    """A condition of up to ``max_tokens`` tokens, numbered 1 … ``vocabulary`` - 1; 0 pads."""

    max_tokens: int
    vocabulary: int


@dataclass(frozen=True)
class Vector:
    """A condition of ``dim`` real numbers, such as an embedding or a pose."""

    dim: int


ConditionSpec: TypeAlias = Categorical | Text | Vector
