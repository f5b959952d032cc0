"""Points whose distribution is known, checked against its closed form."""

from __future__ import annotations

from math import pi, sqrt
from pathlib import Path

import pytest
import torch
from torch import Tensor

from genbench.api import Categorical, TensorSamples
from genbench.api.errors import UsageError
from genbench.data import points

SETS = {
    "points-ring": points.ring,
    "points-grid": points.grid,
    "points-spiral": points.spiral,
}
MIXTURES = [
    (points.ring, points.ring_centres, points.RING_SIGMA, 8),
    (points.grid, points.grid_centres, points.GRID_SIGMA, 25),
]


def load(build, split: str = "train") -> TensorSamples:
    samples = build(split, Path("unused"))
    assert isinstance(samples, TensorSamples)
    return samples


@pytest.mark.parametrize("name", SETS)
def test_both_splits_are_10_000_finite_reals(name):
    train, test = load(SETS[name], "train"), load(SETS[name], "test")
    for samples in (train, test):
        assert samples.data.shape == (10_000, 2)
        assert samples.data.dtype == torch.float32
        assert samples.data.isfinite().all()
        assert samples.data.abs().max() < 1.25
        assert (samples.spec.modality, samples.spec.shape) == ("points", (2,))
        assert samples.spec.levels is None
    assert not torch.isin(train.data[:, 0], test.data[:, 0]).all()
    assert train.id.startswith(f"{name}:train@")
    assert test.id.startswith(f"{name}:test@")


@pytest.mark.parametrize("name", SETS)
def test_equal_references_give_equal_samples(name):
    one, other = load(SETS[name], ""), load(SETS[name], "train")
    assert one.id == other.id
    assert torch.equal(one.data, other.data)


@pytest.mark.parametrize("name", SETS)
def test_the_last_bits_of_an_angle_or_a_deviate_do_not_show(name):
    """Every point lies on a grid of 1e-6, as near as float32 tells."""
    data = load(SETS[name]).data
    on_grid = (data.double() * 1e6).round() / 1e6
    assert torch.equal(on_grid.float(), data)


def test_noise_is_well_above_the_last_level_of_a_diffusion():
    """Variances add: a residue of 0.02 must not widen a mode by more than a tenth."""
    for sigma in (points.RING_SIGMA, points.GRID_SIGMA):
        assert sqrt(sigma**2 + 0.02**2) < 1.1 * sigma


@pytest.mark.parametrize("name", SETS)
def test_unknown_split(name):
    with pytest.raises(UsageError, match=f"'{name}' has no split 'trian'; did you mean 'train'"):
        SETS[name]("trian", Path())


def test_ring_centres_are_the_eighth_roots_of_unity():
    roots = torch.polar(torch.ones(8).double(), torch.arange(8).double() * pi / 4)
    assert torch.allclose(points.ring_centres(), torch.view_as_real(roots))


def test_grid_centres_are_every_pair_of_five_values():
    line = [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert points.grid_centres().tolist() == [[x, y] for x in line for y in line]


@pytest.mark.parametrize(("build", "centres", "sigma", "modes"), MIXTURES)
def test_a_label_is_the_mode_and_the_rest_is_isotropic_noise(build, centres, sigma, modes):
    samples = load(build)
    label = samples.condition["label"]
    assert samples.spec.condition == {"label": Categorical(modes)}
    assert torch.equal(torch.cdist(samples.data.double(), centres()).argmin(1), label)
    # Each mode's count is binomial; five standard deviations.
    expected, spread = 10_000 / modes, sqrt(10_000 / modes * (1 - 1 / modes))
    assert (torch.bincount(label, minlength=modes) - expected).abs().max() < 5 * spread
    noise = (samples.data.double() - centres()[label]) / sigma
    covariance = noise.T @ noise / len(noise)
    # Of a variance estimated from n Gaussians: standard deviation sqrt(2 / n).
    assert (covariance - torch.eye(2)).abs().max() < 5 * sqrt(2 / 10_000)


def distance_to_spiral(x: Tensor) -> Tensor:
    angle = torch.linspace(points.SPIRAL_START, points.SPIRAL_END, 4_000)
    curve = (angle / points.SPIRAL_END)[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    return torch.cdist(x, curve).amin(1)


def test_the_spiral_lies_on_its_curve():
    samples = load(points.spiral)
    assert samples.spec.condition == {}
    distance = distance_to_spiral(samples.data).double()
    # Across the curve, noise is one Gaussian: its mean square is sigma squared.
    ratio = float(distance.square().mean() / points.SPIRAL_SIGMA**2)
    assert abs(ratio - 1) < 5 * sqrt(2 / 10_000) + 0.02
