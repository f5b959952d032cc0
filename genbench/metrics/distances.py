"""Euclidean distances between two sets of features, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from genbench.api.errors import UsageError

BLOCK_ENTRIES = 2**21
"""Entries of one block: 16 MiB in float64."""


def row_slices(rows: int, columns: int) -> Iterator[slice]:
    """Slices that cover ``rows``, each with at most ``BLOCK_ENTRIES`` entries over ``columns``."""
    step = max(1, BLOCK_ENTRIES // max(1, columns))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def euclidean(x: Tensor, y: Tensor) -> Tensor:
    """Distances ``(N, M)``, float64, between the rows of ``(N, D)`` and ``(M, D)``.

    Summed over differences, not expanded into |x|² + |y|² - 2x·y: a copy is then at distance 0
    exactly, equal pairs are at equal distances, and a strict ``<`` means what it says.
    """
    distances = torch.empty(len(x), len(y), dtype=torch.float64, device=x.device)
    x = x.double()
    for columns in row_slices(*y.shape):  # so that never all of ``y`` is copied into float64
        distances[:, columns] = _differences(x, y[columns])
    return distances


def paired(x: Tensor, y: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """Distances ``(P,)`` of the pairs x[i], y[j]: to the bit what ``euclidean`` gives for each."""
    distances = torch.empty(len(i), dtype=torch.float64, device=x.device)
    # Few pairs at a time, so that their copies stay in the processor's cache.
    for pairs in row_slices(len(i), 32 * x.shape[1]):
        distances[pairs] = _differences(x[i[pairs], None], y[j[pairs], None]).flatten()
    return distances


def _differences(x: Tensor, y: Tensor) -> Tensor:
    return torch.cdist(x.double(), y.double(), compute_mode="donot_use_mm_for_euclid_dist")


def directions(x: Tensor) -> Tensor:
    """The rows of ``(N, D)`` with a norm of 1, float64; a row of zeros stays one.

    Of rows of any norm: torch's ``normalize`` shrinks those below 1e-12, and beyond 1e154 squares
    are infinite.
    """
    x = x.double()
    _, exponents = torch.frexp(x.abs().amax(dim=1, keepdim=True))
    powers: Tensor = 2.0 ** -exponents.double().clamp(-1000, 1000)
    x = x * powers  # exact
    norms: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return x / norms.where(norms > 0, 1.0)


def require_rows(metric: str, side: str, features: Tensor, least: int) -> None:
    """Raises ``UsageError`` if ``features`` has fewer than ``least`` rows."""
    if len(features) < least:
        raise UsageError(
            f"{metric} needs at least {least} {side} samples; there are {len(features)}"
        )
