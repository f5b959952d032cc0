"""Kernel distance: the squared maximum mean discrepancy of KID (Bińkowski et al. 2018)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor

from genbench.api import Estimate, Output
from genbench.metrics.distances import require_rows, row_slices
from genbench.metrics.feature_metric import FeatureMetric
from genbench.metrics.resampling import jackknife

Kernel: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""k of every pair of rows: ``(N, D)``, ``(M, D)`` → ``(N, M)``."""


def squared_mmd(kernel: Kernel, x: Tensor, y: Tensor, *, unbiased: bool) -> Estimate:
    """E k(x, x') + E k(y, y') - 2 E k(x, y) of ``(N, D)`` and ``(M, D)`` (Gretton et al. 2012).

    ``unbiased``: the U-statistic, without the pairs of a row with itself (their eq. 3; N, M ≥ 2),
    about 0, also below, for equal distributions; else the V-statistic, with them (eq. 5), which is
    never below 0 and exceeds it by (E k(z, z) - E k(z, z')) (1/N + 1/M) there.

    The interval is over draws of ``y``, with ``x`` held fixed: the jackknife's that leaves out one
    row at a time, whose values follow from the sums of k over each row. It is what the spread over
    KID's random subsets estimates, without subsets. Near equal distributions it is rather too wide
    than too narrow (Efron & Stein 1981). There is none for M < 3. Computed in float64, in bounded
    memory.
    """
    x, y = x.double(), y.double()
    n, m = len(x), len(y)

    def pairs(count: int) -> int:
        return count * (count - 1) if unbiased else count**2

    within_x, _ = _within(kernel, x, unbiased)
    within_y, itself = _within(kernel, y, unbiased)
    across = _row_sums(kernel, y, x)
    of_x = within_x.sum() / pairs(n)
    value = of_x + within_y.sum() / pairs(m) - 2 * across.sum() / (n * m)
    least = -math.inf if unbiased else 0.0
    value = value.clamp(min=least)  # below which only rounding brings it
    if m < 3:
        return Estimate(float(value))
    left_y = within_y.sum() - 2 * within_y + itself
    left_across = across.sum() - across
    without = of_x + left_y / pairs(m - 1) - 2 * left_across / (n * (m - 1))
    return jackknife(float(value), without.tolist(), least=least)


def _within(kernel: Kernel, x: Tensor, unbiased: bool) -> tuple[Tensor, Tensor]:
    """Σⱼ k(xᵢ, xⱼ) and the part of it that is k(xᵢ, xᵢ), ``(N,)`` each: 0 where ``unbiased``."""
    sums, itself = x.new_empty(len(x)), x.new_empty(len(x))
    for rows in row_slices(len(x), len(x)):
        block = kernel(x[rows], x)
        diagonal = block.diagonal(rows.start)
        if unbiased:
            diagonal.zero_()
        itself[rows] = diagonal
        sums[rows] = block.sum(dim=1)
    return sums, itself


def _row_sums(kernel: Kernel, x: Tensor, y: Tensor) -> Tensor:
    """Σⱼ k(xᵢ, yⱼ): ``(N,)``."""
    blocks = (kernel(x[rows], y) for rows in row_slices(len(x), len(y)))
    return torch.cat([block.sum(dim=1) for block in blocks])


def polynomial_mmd2(x: Tensor, y: Tensor) -> Estimate:
    """The unbiased MMD² under k(a, b) = (a·b/D + 1)³ (Bińkowski et al. 2018), by ``squared_mmd``.

    The complete U-statistic over ``(N, D)`` and ``(M, D)``, N, M ≥ 2: what the customary average
    over random subsets estimates, without their noise or seed.
    """
    return squared_mmd(_polynomial, x, y, unbiased=True)


def _polynomial(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1).pow(3)


class KernelDistance(FeatureMetric):
    """Unbiased squared MMD of KID's polynomial kernel; it needs no seed and no subsets.

    It is the KID only over the published Inception network. Needs 2 samples a side. The interval is
    the jackknife's over the generated samples, the reference being held fixed.
    """

    outputs: Mapping[str, Output] = {
        "kernel_distance": Output(False, "kernel distance", "fidelity", names={"inception": "KID"})
    }
    version = 1

    def compute(self) -> Mapping[str, Estimate]:
        reference = self.all_of("reference")
        generated = self.all_of("generated")
        require_rows("kernel_distance", "reference", reference, least=2)
        require_rows("kernel_distance", "generated", generated, least=2)
        return {"kernel_distance": polynomial_mmd2(reference, generated)}
