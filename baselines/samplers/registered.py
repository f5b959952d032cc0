"""The option ``sampler`` of the diffusions: one of the model's own, or one that is registered."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeAlias

from pydantic import BeforeValidator

from genbench.api.samplers import resolve_sampler

SamplerName: TypeAlias = str | dict[str, Any]
"""A name, or for a registered sampler a table: its ``name`` and its options."""


def choice(*own: str) -> BeforeValidator:
    """For an annotation: one of ``own``, or what is registered under ``genbench.samplers``."""
    return BeforeValidator(partial(resolve_sampler, own=own))
