"""Precision, recall, density, coverage against prdc, expectations and conventions."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from prdc import compute_prdc
from scipy import stats
from torch import Tensor
from torch_fidelity.metric_prc import calculate_precision_recall_full

from genbench.api import Estimate
from genbench.api.errors import UsageError
from genbench.evaluation import evaluate
from genbench.metrics import distances
from genbench.metrics.manifold import (
    Balls,
    ClosedManifold,
    Manifold,
    manifold_scores,
    neighbour_radii,
)


def normal(count: int, seed: int, dimension: int = 6) -> Tensor:
    return torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed))


def whole(count: int, seed: int) -> Tensor:
    """Small whole numbers: many distances tie, and many rows are copies."""
    stream = torch.Generator().manual_seed(seed)
    return torch.randint(0, 3, (count, 4), generator=stream).float()


def rectified(count: int, seed: int) -> Tensor:
    """Like the features of a network: many, none below 0, far from the origin."""
    return normal(count, seed, dimension=512).add(0.3).relu()


def binary(count: int, seed: int) -> Tensor:
    """Few different rows: most have many copies."""
    stream = torch.Generator().manual_seed(seed)
    return torch.randint(0, 2, (count, 5), generator=stream).float()


def scores(
    reference: Tensor, generated: Tensor, neighbours: int, balls: Balls = "open"
) -> dict[str, float]:
    computed = manifold_scores(reference, generated, neighbours, balls)
    return {name: estimate.value for name, estimate in computed.items()}


ROWS = {
    "generic": (normal(150, 0), 0.8 * normal(130, 1)),
    "ties and copies": (whole(150, 0), whole(130, 1)),
    "rectified": (rectified(900, 0), rectified(700, 1)),
    "binary": (binary(150, 0), binary(130, 1)),
}


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("neighbours", [1, 3, 5])
def test_equals_prdc(rows: str, neighbours: int) -> None:
    reference, generated = ROWS[rows]
    theirs = compute_prdc(reference.double().numpy(), generated.double().numpy(), neighbours)
    ours = scores(reference, generated, neighbours)
    assert ours == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("neighbours", [1, 3, 5])
def test_closed_balls_equal_torch_fidelity_and_a_count(rows: str, neighbours: int) -> None:
    reference, generated = (x.double() for x in ROWS[rows])
    exact = {"compute_mode": "donot_use_mm_for_euclid_dist"}
    across = torch.cdist(reference, generated, **exact)
    radii = torch.cdist(reference, reference, **exact).sort(dim=1).values[:, neighbours]
    held = across <= radii[:, None]
    found = scores(reference, generated, neighbours, "closed")
    assert found["density"] == pytest.approx(float(held.sum()) / neighbours / len(generated))
    assert found["coverage"] == pytest.approx(float(held.any(dim=1).double().mean()))
    # Of large sets torch's cdist takes products, which are wrong by rounding where distances tie.
    if len(reference) < 500:
        theirs = calculate_precision_recall_full(generated, reference, neighbours)
        assert (found["precision"], found["recall"]) == pytest.approx(theirs, rel=1e-6)


def test_sets_of_copies_against_themselves() -> None:
    """Closed balls hold every sample's own copies, open ones of radius 0 nothing."""
    x = normal(20, 18).repeat(10, 1)
    closed = scores(x, x, 5, "closed")
    assert closed == {"precision": 1.0, "recall": 1.0, "density": 2.0, "coverage": 1.0}
    assert set(scores(x, x, 5).values()) == {0.0}
    few = scores(binary(120, 2), binary(120, 2), 5)
    theirs = compute_prdc(binary(120, 2).numpy(), binary(120, 2).numpy(), 5)
    assert few == pytest.approx(theirs)
    assert few["precision"] < 0.9
    assert scores(binary(120, 2), binary(120, 2), 5, "closed")["precision"] == 1


def test_a_note_says_how_many_radii_are_0() -> None:
    reference = torch.cat([normal(50, 19), normal(1, 20).repeat(7, 1)])
    generated = torch.cat([normal(40, 21), normal(1, 22).repeat(6, 1), normal(1, 23).repeat(9, 1)])
    for balls, held in (("open", "nothing"), ("closed", "the copies alone")):
        found = manifold_scores(reference, generated, 5, balls)  # type: ignore[arg-type]
        for name in ("precision", "density", "coverage"):
            assert (found[name].note or "").startswith("7 of 57 reference radii are 0")
        note = found["recall"].note or ""
        assert note.startswith("15 of 55 generated radii are 0")
        assert f"{balls} balls hold {held}" in note
    assert {e.note for e in manifold_scores(normal(50, 19), normal(40, 21), 5).values()} == {None}


def test_the_convention_is_part_of_the_protocol() -> None:
    found = evaluate(
        binary(60, 3).numpy(),
        binary(60, 4).numpy(),
        extractor="identity",
        metrics=["precision", "precision_closed"],
    )
    assert found.protocol["metrics"] == {
        "manifold": "1 (neighbours 5, balls open)",
        "manifold_closed": "1 (neighbours 5, balls closed)",
    }
    assert found.values["precision_closed"].value > found.values["precision"].value


def test_the_closed_metric_is_the_open_one_s_sibling() -> None:
    metric = ClosedManifold()
    for side, x in (("reference", binary(80, 5)), ("generated", binary(70, 6))):
        metric.update({"features": x}, side)
    expected = scores(binary(80, 5), binary(70, 6), 5, "closed")
    assert {name: e.value for name, e in metric.compute().items()} == {
        f"{name}_closed": value for name, value in expected.items()
    }
    assert metric.outputs.keys() == {f"{name}_closed" for name in expected}


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    reference, generated = normal(90, 2), normal(70, 3)
    whole = scores(reference, generated, 5)
    monkeypatch.setattr(distances, "BLOCK_ENTRIES", 700)
    assert scores(reference, generated, 5) == whole


def test_radii_equal_the_differences_own_to_the_bit() -> None:
    for x, _ in ROWS.values():
        every = torch.cdist(x.double(), x.double(), compute_mode="donot_use_mm_for_euclid_dist")
        assert neighbour_radii(x, 5).equal(every.sort(dim=1).values[:, 5])


def test_a_set_against_itself_in_any_order() -> None:
    """Each ball holds its own centre and k - 1 others: the k-th lies on its border, outside."""
    x = normal(200, 4)
    assert scores(x, x.flip(0), 5) == {
        "precision": 1.0,
        "recall": 1.0,
        "density": 1.0,
        "coverage": 1.0,
    }


def test_expectations_for_equal_distributions() -> None:
    """E density = 1; E coverage = 1 - (N-1)…(N-k)/((M+N-1)…(M+N-k)) (Naeem et al. 2020)."""
    n, m, k = 120, 100, 3
    draws = [scores(normal(n, 2 * i), normal(m, 2 * i + 1), k) for i in range(100)]
    density = np.array([draw["density"] for draw in draws])
    coverage = np.array([draw["coverage"] for draw in draws])
    expected = 1 - np.prod([(n - i) / (m + n - i) for i in range(1, k + 1)])
    assert abs(density.mean() - 1) < 4 * density.std() / 10
    assert abs(coverage.mean() - expected) < 4 * coverage.std() / 10


def test_collapsed_generator_is_precise_and_recalls_nothing() -> None:
    reference = normal(300, 5)
    generated = reference[:1] + 1e-3 * normal(300, 6)
    found = scores(reference, generated, 5)
    assert found["precision"] > 0.95
    assert found["recall"] < 0.05
    assert found["coverage"] < 0.05


def test_swapping_the_sides_swaps_precision_and_recall() -> None:
    x, y = normal(200, 7), 0.5 * normal(150, 8)
    one, other = scores(x, y, 5), scores(y, x, 5)
    assert one["precision"] == other["recall"]
    assert one["recall"] == other["precision"]
    assert one["precision"] != one["recall"]


def test_needs_more_samples_than_neighbours() -> None:
    metric = Manifold()
    metric.update({"features": torch.zeros(6, 2)}, "reference")
    metric.update({"features": torch.zeros(5, 2)}, "generated")
    with pytest.raises(UsageError, match="manifold needs at least 6 generated samples"):
        metric.compute()


def test_intervals_of_three_are_shares_and_of_density_a_mean() -> None:
    reference, generated = normal(60, 9), normal(50, 10)
    found = manifold_scores(reference, generated, 3)
    for name, count in (("precision", 50), ("recall", 60), ("coverage", 60)):
        estimate = found[name]
        theirs = stats.binomtest(round(estimate.value * count), count).proportion_ci(
            0.95, method="wilson"
        )
        assert (estimate.low, estimate.high) == pytest.approx((theirs.low, theirs.high))
    distances = torch.cdist(reference.double(), generated.double())
    radii = neighbour_radii(reference, 3)
    balls = (distances < radii[:, None]).sum(dim=0).double() / 3
    low, high = stats.ttest_1samp(balls.numpy(), 0).confidence_interval(0.95)
    assert (found["density"].low, found["density"].high) == pytest.approx((low, high))


@pytest.mark.parametrize("name", ["precision", "density"])
def test_intervals_hold_in_about_95_of_100_draws(name: str) -> None:
    """Given one reference, whose truth a large draw tells."""
    reference = normal(80, 11, dimension=2)

    def found(count: int, seed: int) -> Estimate:
        return manifold_scores(reference, 1.5 * normal(count, seed, dimension=2), 3)[name]

    truth = found(20_000, 12).value
    draws = [found(100, 100 + seed) for seed in range(200)]
    held = [(draw.low or 0) <= truth <= (draw.high or 0) for draw in draws]
    assert 0.9 <= np.mean(held) <= 0.99


def test_more_noise_never_improves_precision_and_may_improve_recall() -> None:
    """Scattered samples have large balls, in which the reference lies: why recall is no score of
    fidelity."""
    reference, generated, noise = normal(500, 13), 0.6 * normal(500, 14), normal(500, 15)
    found = [scores(reference, generated + level * noise, 5) for level in (0, 0.5, 1, 2, 4)]
    precision = [each["precision"] for each in found]
    assert precision == sorted(precision, reverse=True)
    assert found[1]["recall"] > found[0]["recall"]


def test_order_does_not_matter() -> None:
    reference, generated = ROWS["ties and copies"]
    assert scores(reference.flip(0), generated.roll(7, 0), 3) == scores(reference, generated, 3)


@pytest.mark.parametrize("count", [34, 97, 391])
def test_density_lies_within_its_interval_and_never_below_0(count: int) -> None:
    """Of one sample over and over, whose interval has no width; and of one near sample in many."""
    reference = normal(100, 16, dimension=2)
    density = manifold_scores(reference, reference[:1].repeat(count, 1), 5)["density"]
    assert density.low == density.value == density.high
    far = torch.cat([reference[:1], normal(count, 17, dimension=2) + 100])
    density = manifold_scores(reference, far, 5)["density"]
    assert density.low == 0 < density.value < (density.high or 0)


def test_memory_does_not_grow_with_the_blocks() -> None:
    """12,000 a side are 69 blocks of 16 MiB; what is kept of each must not hold its room."""
    code = """
import resource, torch
from genbench.metrics.manifold import manifold_scores
torch.set_num_threads(1)
torch.manual_seed(0)
x, y = torch.randn(2, 12_000, 8)
manifold_scores(x[:2000], y[:2000], 5)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
manifold_scores(x, y, 5)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert int(done.stdout) < 200_000  # kB; with a tensor kept a block, 600 MB
