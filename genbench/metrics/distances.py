"""Euclidean distances between two sets of features, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from genbench.errors import UsageError

BLOCK_ENTRIES = 2**24
"""Entries of one block: 128 MiB in float64."""


def row_slices(rows: int, columns: int) -> Iterator[slice]:
    """Slices that cover ``rows``, each with at most ``BLOCK_ENTRIES`` entries over ``columns``."""
    step = max(1, BLOCK_ENTRIES // max(1, columns))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def euclidean(x: Tensor, y: Tensor) -> Tensor:
    """Distances ``(N, M)``, float64, between the rows of ``(N, D)`` and ``(M, D)``.

    Summed over differences, not expanded into |x|² + |y|² - 2x·y: a copy is then at distance 0
    exactly, equal pairs are at equal distances, and a strict ``<`` means what it says. Called block
    after block, it is better given float64, which it does not copy.
    """
    return torch.cdist(x.double(), y.double(), compute_mode="donot_use_mm_for_euclid_dist")


def require_rows(metric: str, side: str, features: Tensor, least: int) -> None:
    """Raises ``UsageError`` where ``features`` has fewer than ``least`` rows."""
    if len(features) < least:
        raise UsageError(
            f"{metric} needs at least {least} {side} samples; there are {len(features)}"
        )
