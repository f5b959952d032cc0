"""Sieved neighbours and balls against differences alone: to the bit, on sets made to mislead."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from genbench.metrics import distances, neighbours
from genbench.metrics.neighbours import ApproximateDistances, memberships, nearest

Rows = Callable[[int, torch.Generator], Tensor]


def normal(dimension: int, spread: float = 1, dtype: torch.dtype = torch.float64) -> Rows:
    return lambda count, stream: (
        spread * torch.randn(count, dimension, generator=stream, dtype=torch.float64)
    ).to(dtype)


def whole(dimension: int) -> Rows:
    """Small whole numbers: distances tie, and rows are copies."""
    return lambda count, stream: torch.randint(0, 3, (count, dimension), generator=stream).float()


def copies(count: int, stream: torch.Generator) -> Tensor:
    """Nine rows, over and over."""
    return normal(12)(9, stream)[torch.randint(9, (count,), generator=stream)]


def sphere(count: int, stream: torch.Generator) -> Tensor:
    """All at distance 1 from the first row, but for float64's rounding."""
    x = torch.nn.functional.normalize(normal(64)(count, stream), dim=1)
    x[0] = 0
    return x + 5


def clusters(gap: float, spread: float, dtype: torch.dtype) -> Rows:
    """Three, far from one another beside their spread."""

    def rows(count: int, stream: torch.Generator) -> Tensor:
        centres = gap * torch.randn(3, 8, generator=torch.Generator().manual_seed(7)).double()
        nearby = spread * normal(8)(count, stream)
        return (centres[torch.randint(3, (count,), generator=stream)] + nearby).to(dtype)

    return rows


def outlier(count: int, stream: torch.Generator) -> Tensor:
    x = normal(6)(count, stream)
    x[0] *= 1e15
    return x


def broken(value: float) -> Rows:
    def rows(count: int, stream: torch.Generator) -> Tensor:
        x = normal(6, dtype=torch.float32)(count, stream)
        x[3, 2] = value
        return x

    return rows


SETS: dict[str, Rows] = {
    "generic": normal(16),
    "generic float32": normal(16, dtype=torch.float32),
    "half precision": normal(16, dtype=torch.float16),
    "one dimension": normal(1),
    "more dimensions than rows": normal(700),
    "ties and copies": whole(4),
    "ties on the line": whole(1),
    "nine rows, repeated": copies,
    "all equal": lambda count, stream: torch.full((count, 5), 0.1),
    "all zero": lambda count, stream: torch.zeros(count, 5),
    "nearly equal distances": sphere,
    "far from the origin": lambda count, stream: 1e6 + normal(5, 1e-3)(count, stream),
    "float32 far from the origin": lambda count, stream: 1e4 + normal(5)(count, stream).float(),
    "tight clusters": clusters(1, 1e-4, torch.float32),
    "tighter clusters": clusters(1, 1e-12, torch.float64),
    "an outlier": outlier,
    "small": normal(9, 1e-18),
    "subnormal float32": normal(9, 1e-41, torch.float32),
    "subnormal squares": normal(9, 1e-162),
    "subnormal float64": normal(9, 1e-310),
    "squares beyond float32": normal(9, 1e21, torch.float32),
    "squares beyond float64": normal(9, 1e200),
    "small beside large": lambda count, stream: normal(9)(count, stream) * torch.logspace(
        -30, 3, count, dtype=torch.float64
    )[:, None],
    "not a number": broken(torch.nan),
    "infinite": broken(torch.inf),
}  # fmt: skip


def plain(x: Tensor, y: Tensor) -> Tensor:
    return torch.cdist(x.double(), y.double(), compute_mode="donot_use_mm_for_euclid_dist")


@pytest.fixture(params=["one block", "many blocks"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "many blocks":
        for module in (distances, neighbours):
            monkeypatch.setattr(module, "BLOCK_ENTRIES", 500)


def draws(name: str) -> Iterator[tuple[Tensor, Tensor]]:
    for seed, (n, m) in enumerate([(60, 45), (33, 70), (9, 12)]):
        stream = torch.Generator().manual_seed(seed)
        yield SETS[name](n, stream), SETS[name](m, stream)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize(("first", "last"), [(1, 1), (1, 2), (4, 4), (3, 7)])
def test_nearest_equals_differences_to_the_bit(name: str, first: int, last: int) -> None:
    for x, other in draws(name):
        for y in (other, x):
            found, index = nearest(x, y, first, last)
            every = plain(x, y)
            assert found.dtype == torch.float64
            expected = every.sort(dim=1).values[:, first - 1 : last]
            torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
            torch.testing.assert_close(
                every.gather(1, index), expected, rtol=0, atol=0, equal_nan=True
            )


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("name", SETS)
def test_memberships_equal_differences_alone(name: str) -> None:
    for x, y in draws(name):
        x_radii, y_radii = (plain(z, z).sort(dim=1).values[:, 3] for z in (x, y))
        around_x, around_y = map(torch.cat, zip(*memberships(x, x_radii, y, y_radii), strict=True))
        distance = plain(x, y)
        assert around_x.equal(distance < x_radii[:, None])
        assert around_y.equal(distance < y_radii)


def test_radii_that_are_distances_of_the_pairs_themselves() -> None:
    """Every row of x is on the border of its ball: d < d is false, d < the next number true."""
    stream = torch.Generator().manual_seed(0)
    x, y = normal(40)(50, stream), normal(40)(50, stream)
    border = plain(x, y).diagonal()
    for radii, expected in ((border, False), (border.nextafter(border + 1), True)):
        around_x, around_y = map(torch.cat, zip(*memberships(x, radii, y, radii), strict=True))
        assert set(around_x.diagonal().tolist()) == {expected}
        assert set(around_y.diagonal().tolist()) == {expected}


@pytest.mark.parametrize(
    "name", [name for name in SETS if name not in ("not a number", "infinite")]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_sieve_keeps_its_bound(name: str, dtype: torch.dtype) -> None:
    for x, y in draws(name):
        centre = y.mean(dim=0).double()
        sieve = ApproximateDistances.of(x, centre, dtype)
        s = sieve.squared_distances(ApproximateDistances.of(y, centre, dtype)).double()
        square = plain(x, y).square()
        bound = sieve.relative_error * square + sieve.absolute_error[:, None]
        assert not ((s - square).abs() > bound).any()


def test_the_bound_is_not_idle() -> None:
    """In float32 products are wrong by more than a hundredth of what the bound allows."""
    x = torch.rand(50, 64, generator=torch.Generator().manual_seed(0)).round(decimals=3) + 1
    sieve = ApproximateDistances.of(x, torch.zeros(64, dtype=torch.float64))
    error = (sieve.squared_distances(sieve).double() - plain(x, x).square()).abs()
    assert (error / sieve.absolute_error[:, None]).max() > 0.01


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pairs went to differences, call by call."""
    counts: list[int] = []
    euclidean, paired = distances.euclidean, distances.paired

    def counted_euclidean(x: Tensor, y: Tensor) -> Tensor:
        counts.append(len(x) * len(y))
        return euclidean(x, y)

    def counted_paired(x: Tensor, y: Tensor, i: Tensor, j: Tensor) -> Tensor:
        counts.append(len(i))
        return paired(x, y, i, j)

    monkeypatch.setattr(neighbours, "euclidean", counted_euclidean)
    monkeypatch.setattr(neighbours, "paired", counted_paired)
    return counts


def test_few_pairs_of_generic_sets_are_settled(settled: list[int]) -> None:
    stream = torch.Generator().manual_seed(0)
    x, y = normal(128)(300, stream), normal(128)(300, stream)
    radii, _ = nearest(x, x, 6, 6)
    assert sum(settled) < 2 * len(x)
    settled.clear()
    assert len(list(memberships(x, radii[:, 0], y, radii[:, 0]))) == 1
    assert sum(settled) < 100


def test_tight_clusters_are_left_to_a_finer_sieve(
    settled: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "BLOCK_ENTRIES", 500)
    x = SETS["tight clusters"](300, torch.Generator().manual_seed(0))
    nearest(x, x, 6, 6)
    assert sum(settled[1:]) < 2 * len(x)


def test_products_are_in_full_precision_whatever_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    products = neighbours.products

    def watched(x: Tensor, y: Tensor) -> Tensor:
        seen.append(torch.get_float32_matmul_precision())
        return products(x, y)

    monkeypatch.setattr(neighbours, "products", watched)
    torch.set_float32_matmul_precision("medium")
    try:
        nearest(torch.randn(5, 3), torch.randn(5, 3), 1, 1)
    finally:
        torch.set_float32_matmul_precision("highest")
    assert seen == ["highest"]


def test_without_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    test_nearest_equals_differences_to_the_bit("nearly equal distances", 4, 4)
    test_memberships_equal_differences_alone("nearly equal distances")
