"""Mode coverage, high quality and divergence over modes on mixtures whose modes are known."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from genbench.api.errors import UsageError
from genbench.metrics.modes import Modes, fit_modes, mode_kl, mode_scores

SIGMA = 0.02


def ring(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """8 Gaussians of deviation 0.02 on the unit circle, and which one each sample is of."""
    stream = torch.Generator().manual_seed(seed)
    label = torch.randint(0, 8, (count,), generator=stream)
    angle = label * math.pi / 4
    centre = torch.stack([angle.cos(), angle.sin()], dim=1)
    return centre + SIGMA * torch.randn(count, 2, generator=stream), label


def score(generated: Tensor, labels_offset: int = 0) -> dict[str, float]:
    reference, labels = ring(4000, 0)
    metric = Modes()
    metric.update({"features": reference, "labels": 3 * labels + labels_offset}, "reference")
    metric.update({"features": generated}, "generated")
    return {name: estimate.value for name, estimate in metric.compute().items()}


def test_modes_are_found() -> None:
    x, labels = ring(20_000, 1)
    mixture = fit_modes(x, labels)
    angle = torch.arange(8) * math.pi / 4
    expected = torch.stack([angle.cos(), angle.sin()], dim=1).double()
    assert (mixture.centres - expected).abs().max() < 5 * SIGMA / math.sqrt(2000)
    assert mixture.deviation == pytest.approx(SIGMA, rel=0.03)


def test_perfect_sampler() -> None:
    """In the plane P(|z| ≤ 3) = 1 - exp(-9/2), whatever the modes are called."""
    count = 20_000
    scores = score(ring(count, 2)[0], labels_offset=5)
    error = math.sqrt(0.011 * 0.989 / count)
    assert scores["mode_coverage"] == 1.0
    assert scores["high_quality"] == pytest.approx(1 - math.exp(-4.5), abs=5 * error + 1e-3)


def test_dropped_modes() -> None:
    generated, label = ring(1000, 3)
    assert score(generated[label < 6])["mode_coverage"] == 6 / 8


def test_samples_between_the_modes_are_of_low_quality_and_cover_none() -> None:
    generated, _ = ring(1000, 4)
    scores = score(torch.cat([generated, torch.zeros(1000, 2)]))
    assert scores["high_quality"] == pytest.approx(0.989 / 2, abs=0.01)
    between = score(torch.zeros(10, 2))
    assert (between["high_quality"], between["mode_coverage"]) == (0, 0)


def test_three_deviations_by_hand() -> None:
    """Two modes of deviation 1: samples at 2.9 and 3.1 deviations."""
    x = torch.tensor([[-1.0], [1.0], [99.0], [101.0]])
    mixture = fit_modes(x, torch.tensor([4, 4, 7, 7]))
    assert mixture.centres.flatten().tolist() == [0.0, 100.0]
    assert mixture.deviation == pytest.approx(math.sqrt(2))
    generated = math.sqrt(2) * torch.tensor([[2.9], [-3.1], [-2.9], [3.1]])
    scores = mode_scores(generated, mixture)
    assert (scores["high_quality"].value, scores["mode_coverage"].value) == (0.5, 0.5)


def test_labels_that_never_repeat() -> None:
    with pytest.raises(UsageError, match="5 samples have 5 labels"):
        fit_modes(torch.randn(5, 2), torch.arange(5))


def at(counts: list[int]) -> Tensor:
    """So many samples at 0, 10, 20, … on the line."""
    return 10.0 * torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))[:, None]


CENTRES = at([1, 1, 1]).double()


def test_kl_equals_scipy_and_is_of_the_generated_shares_from_the_reference_s() -> None:
    divergence = mode_kl(at([10, 30, 60]), at([50, 25, 25]), CENTRES).value
    assert divergence == pytest.approx(stats.entropy([10, 30, 60], [50, 25, 25]))
    assert divergence != pytest.approx(stats.entropy([50, 25, 25], [10, 30, 60]))


def test_kl_of_a_mode_that_is_missed_is_finite() -> None:
    """All samples in one mode of three, which has a quarter of the reference."""
    assert mode_kl(at([0, 9, 0]), at([50, 25, 25]), CENTRES).value == pytest.approx(math.log(4))


def test_a_mode_that_no_reference_sample_is_nearest_to_is_none() -> None:
    centres = torch.cat([CENTRES, torch.tensor([[20.2]])])
    reference, generated = at([5, 3, 2]), torch.cat([at([5, 3, 0]), torch.full((2, 1), 20.3)])
    assert mode_kl(generated, reference, centres).value == 0


def test_kl_of_a_set_from_itself_in_any_order_is_0() -> None:
    x, labels = ring(500, 5)
    centres = fit_modes(x, labels).centres
    assert mode_kl(x.flip(0), x, centres).value == 0


def test_kl_counts_samples_far_from_every_centre() -> None:
    generated = torch.cat([at([1, 1, 1]), torch.full((3, 1), -1000.0)])
    divergence = mode_kl(generated, at([1, 1, 1]), CENTRES).value
    assert divergence == pytest.approx(stats.entropy([4, 1, 1], [1, 1, 1]))


def test_kl_of_equal_distributions_has_the_bias_that_is_said() -> None:
    stream = torch.Generator().manual_seed(0)

    def draw(count: int) -> Tensor:
        shares = torch.tensor([0.2, 0.3, 0.5])
        return 10.0 * shares.multinomial(count, replacement=True, generator=stream)[:, None]

    values = [mode_kl(draw(200), draw(100), CENTRES).value for _ in range(300)]
    expected = (3 - 1) * (1 / 200 + 1 / 100) / 2
    assert sum(values) / 300 == pytest.approx(expected, rel=0.25)


def test_interval_of_kl_holds_in_about_95_of_100_draws() -> None:
    """About the mean over draws, which is the divergence of the shares and the bias."""
    stream = torch.Generator().manual_seed(1)
    shares = torch.tensor([0.2, 0.3, 0.5])
    reference = at([50, 25, 25])
    draws = [
        mode_kl(
            10.0 * shares.multinomial(400, replacement=True, generator=stream)[:, None],
            reference,
            CENTRES,
        )
        for _ in range(200)
    ]
    truth = stats.entropy(shares.numpy(), [0.5, 0.25, 0.25]) + (3 - 1) / 800
    held = sum((draw.low or 0) <= truth <= (draw.high or 0) for draw in draws)
    assert 0.9 <= held / 200 <= 0.99


def test_high_quality_has_the_interval_of_a_share() -> None:
    mixture = fit_modes(*ring(1000, 6))
    estimate = mode_scores(torch.cat([ring(30, 7)[0], torch.zeros(10, 2)]), mixture)["high_quality"]
    theirs = stats.binomtest(round(40 * estimate.value), 40).proportion_ci(0.95, method="wilson")
    assert (estimate.low, estimate.high) == pytest.approx((theirs.low, theirs.high))


@pytest.mark.parametrize(("dimension", "share"), [(2, None), (9, None), (10, "47 %"), (64, "0 %")])
def test_dimensions_in_which_three_deviations_hold_few_are_told(
    dimension: int, share: str | None
) -> None:
    """The squared distance from the centre, in deviations, is χ² of so many degrees."""
    stream = torch.Generator().manual_seed(8)
    x = torch.randn(4000, dimension, generator=stream)
    scores = mode_scores(x, fit_modes(x, torch.zeros(4000, dtype=torch.int64)))
    expected = stats.chi2.cdf(9, dimension)
    assert scores["high_quality"].value == pytest.approx(expected, abs=0.03)
    told = (
        f"in {dimension} dimensions {share} of a round mode's own samples lie within 3 deviations"
    )
    for estimate in scores.values():
        assert (estimate.note is None) if share is None else (told in (estimate.note or ""))
