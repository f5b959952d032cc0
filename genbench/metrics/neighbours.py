"""Nearest neighbours and membership of balls: sieved by matrix products, settled by differences.

|x - y|² = |x|² + |y|² - 2x·y takes one matrix product, many times faster than a sum over
differences, but wrong by rounding. Its error has a bound, so the product decides what is clear, and
the few pairs within the bound of a threshold are settled by ``euclidean``. Every comparison comes
out as the differences alone would have it, ties and copies included.

**The bound.** Let u be the unit roundoff of the sieve's type, n = D + 16, γ = nu/(1 - nu). A sum of
D products, in any order, fused or not, is wrong by at most γ_D Σ|x_k y_k| ≤ γ_D |x||y| (Higham
2002, §3.1), hence 2x·y by γ_D (|x|² + |y|²). Sixteen more roundings are enough for those of x and y
to the sieve's type, of their norms and of the two sums. So the sieve's s is within
γ(|x|² + |y|²) + τ of |x - y|², where τ covers underflow, flushed to 0 or not; and since
|y| ≤ |x| + |x - y|, within γ(3|x|² + 2|x - y|²) + τ. ``euclidean``, in float64, is itself within
γ|x - y|². For the distance d that it gives,

    |s - d²| ≤ 3γ(|x|² + d²) + τ,

which knows one end of the pair and the distance only, and so gives thresholds on s. All rows are
first moved by one centre: it changes no difference, and shrinks |x|.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import linear

from genbench.devices.hardware import full_float32
from genbench.metrics.distances import BLOCK_ENTRIES, euclidean, paired, row_slices

LARGEST = 2.0**80
"""Of |x|²: beyond it float32 may overflow, and nothing is certain."""

SPARE = 8
"""Neighbours that a shortlist holds beyond those asked for, as their order is not yet certain."""


@dataclass(frozen=True)
class ApproximateDistances:
    """Rows relative to a centre, float32 or float64, and bounds on their distances from
    products."""

    points: Tensor
    """``(N, D)``."""
    squares: Tensor
    """``(N,)``: |x|²; NaN, beside which nothing is certain, where it is above ``LARGEST``."""

    @classmethod
    def of(
        cls, x: Tensor, centre: Tensor, dtype: torch.dtype = torch.float32
    ) -> ApproximateDistances:
        """``x``: ``(N, D)`` of any float type; ``centre``: ``(D,)`` float64."""
        points = torch.empty(x.shape, dtype=dtype, device=x.device)
        squares = points.new_empty(len(x))
        for rows in row_slices(len(x), 8 * x.shape[1]):
            shifted = x[rows].double() - centre
            points[rows] = shifted
            squares[rows] = shifted.square_().sum(dim=1).to(dtype)
        return cls(points, squares.masked_fill_(~(squares <= LARGEST), torch.nan))

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, rows: slice) -> ApproximateDistances:
        return ApproximateDistances(self.points[rows], self.squares[rows])

    def squared_distances(self, other: ApproximateDistances) -> Tensor:
        """s: ``(N, M)``."""
        s = self.points.new_empty(len(self), len(other))
        # oneDNN compiles code for every shape it meets, and keeps it: multiples of one are few.
        width = len(self) * -(-1024 // len(self))
        with full_float32():
            for start in range(0, len(other), width):
                columns = slice(start, start + width)
                s[:, columns] = products(self.points, other.points[columns])
        return s.mul_(-2).add_(self.squares[:, None]).add_(other.squares)

    @property
    def relative_error(self) -> float:
        """3γ."""
        nu = (self.points.shape[1] + 16) * torch.finfo(self.points.dtype).eps / 2
        return 3 * nu / (1 - nu) if nu < 1 / 16 else torch.inf

    @property
    def absolute_error(self) -> Tensor:
        """3γ|x|² + τ: ``(N,)`` float64."""
        tiny = self.points.shape[1] * torch.finfo(self.points.dtype).tiny * 2.0**46
        return self.relative_error * self.squares.double() + tiny

    def thresholds(self, radii: Tensor) -> tuple[Tensor, Tensor]:
        """``(N,)`` each: d < r where s is below the first, d > r where s is above the second."""
        square, relative, absolute = radii.square(), self.relative_error, self.absolute_error
        lower = (1 - relative) * square - absolute
        upper = (1 + relative) * square + absolute
        # Rounded to the type of s, where no s lies between a threshold and its nearest number.
        return lower.to(self.points.dtype), upper.to(self.points.dtype)


def nearest(x: Tensor, y: Tensor, first: int, last: int) -> tuple[Tensor, Tensor]:
    """The first-th to last-th nearest rows of ``(M, D)`` to each row of ``(N, D)``; M ≥ ``last``.

    Returns their distances ``(N, last - first + 1)``, float64, rising, and their indices; equal
    distances are in any order. Where ``y`` is ``x``, each row is its own neighbour at distance 0.
    """
    distances, index, unresolved = _sieved(x, y, first, last, torch.float32)
    if len(unresolved) * len(y) > BLOCK_ENTRIES:  # tight clusters, as of a collapsed generator
        distances[unresolved], index[unresolved], still = _sieved(
            x[unresolved], y, first, last, torch.float64
        )
        unresolved = unresolved[still]
    for rows in row_slices(len(unresolved), len(y)):
        found = euclidean(x[unresolved[rows]], y).topk(last, largest=False)
        distances[unresolved[rows]], index[unresolved[rows]] = (t[:, first - 1 :] for t in found)
    return distances, index


def _sieved(
    x: Tensor, y: Tensor, first: int, last: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """``nearest``, and the rows of ``x`` for which it is not: more are near than a sieve of
    ``dtype`` can put in order."""
    centre = y.mean(dim=0).double()
    sieve_y = ApproximateDistances.of(y, centre, dtype)
    sieve_x = sieve_y if x is y else ApproximateDistances.of(x, centre, dtype)
    s, index = _shortlist(sieve_x, sieve_y, min(last + SPARE, len(y)))
    s = s.double()
    relative, absolute = sieve_x.relative_error, sieve_x.absolute_error[:, None]
    # Between these lie the squares of the distances sought.
    least = (s[:, first - 1, None] - absolute) / (1 + relative)
    most = (s[:, last - 1, None] + absolute) / (1 - relative)
    before = s < (1 - relative) * least - absolute
    beyond = s > (1 + relative) * most + absolute
    i, k = (~(before | beyond)).nonzero(as_tuple=True)
    distances = torch.full_like(s, torch.inf).masked_fill_(before, -torch.inf)
    distances[i, k] = paired(x, y, i, index[i, k])
    distances, order = distances.topk(last, largest=False)
    unresolved = sieve_x.squares.isnan() | sieve_y.squares.isnan().any()
    if s.shape[1] < len(y):
        unresolved |= ~beyond[:, -1]
    index = index.gather(1, order)
    return distances[:, first - 1 :], index[:, first - 1 :], unresolved.nonzero().flatten()


def _shortlist(
    x: ApproximateDistances, y: ApproximateDistances, count: int
) -> tuple[Tensor, Tensor]:
    """The ``count`` least s of each row, rising, and their columns: ``(N, count)`` each."""
    best = torch.full_like(x.points[:, :1], torch.inf).repeat(1, count)
    index = torch.zeros_like(best, dtype=torch.int64)

    def add(rows: slice, s: Tensor, column: int) -> None:
        values, columns = s.topk(min(count, s.shape[1]), largest=False)
        values = torch.cat([best[rows], values], dim=1)
        columns = torch.cat([index[rows], columns + column], dim=1)
        best[rows], order = values.topk(count, largest=False)
        index[rows] = columns.gather(1, order)

    for rows in row_slices(len(x), len(y)):
        # Of a set with itself, each product serves both of its rows.
        column = rows.start if x is y else 0
        s = x[rows].squared_distances(y[column:])
        add(rows, s, column)
        if x is y and rows.stop < len(x):
            add(slice(rows.stop, None), s[:, len(s) :].T.contiguous(), column)
        del s  # before the next block takes its place
    return best, index


def memberships(
    x: Tensor, x_radii: Tensor, y: Tensor, y_radii: Tensor, *, closed: bool = False
) -> Iterator[tuple[Tensor, Tensor]]:
    """Which rows of ``(N, D)`` and ``(M, D)`` lie in the balls around those of the other.

    Yields for block after block of B rows of ``x`` two ``(B, M)`` of bool: whether d < ``x_radii``
    (y is in the ball around x), and whether d < ``y_radii`` (x is in the ball around y);
    ``closed``: d ≤. The radii, ``(N,)`` and ``(M,)``, are float64, distances as ``euclidean`` gives
    them.
    """
    centre = x.mean(dim=0).double()
    sieve = ApproximateDistances.of(y, centre)
    lower, upper = sieve.thresholds(y_radii)
    for rows in row_slices(len(x), len(y)):
        block, radii = x[rows], x_radii[rows]
        sieve_block = ApproximateDistances.of(block, centre)
        lower_block, upper_block = (t[:, None] for t in sieve_block.thresholds(radii))
        s = sieve_block.squared_distances(sieve)
        around_x = _settled(block, y, radii[:, None], s < lower_block, s > upper_block, closed)
        around_y = _settled(block, y, y_radii, s < lower, s > upper, closed)
        del s  # before the next block takes its place
        yield around_x, around_y


def _settled(
    x: Tensor, y: Tensor, radii: Tensor, inside: Tensor, outside: Tensor, closed: bool
) -> Tensor:
    """Whether d is in the radius, with differences for the pairs neither ``inside`` nor
    ``outside``."""
    i, j = outside.logical_or_(inside).logical_not_().nonzero(as_tuple=True)
    distances, reach = paired(x, y, i, j), radii.expand_as(inside)[i, j]
    inside[i, j] = distances <= reach if closed else distances < reach
    return inside


def products(x: Tensor, y: Tensor) -> Tensor:
    """x @ y.T."""
    onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if onednn and x.is_cpu and x.dtype == torch.float32:
        # torch's own product is MKL's, half as fast as oneDNN's on processors other than Intel's.
        return linear(x.to_mkldnn(), y).to_dense()
    return x @ y.T
