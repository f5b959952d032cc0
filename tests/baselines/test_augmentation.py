"""Adaptive augmentation: each transformation against SciPy, torchvision or its matrix, how often it
happens against its probability, and p against hand-made sums."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation
from torch import Tensor
from torchvision.transforms import functional as vision

from baselines import augmentation
from baselines.augmentation import (
    AdaptiveProbability,
    augment,
    blit,
    recoloured,
    resample,
    warp,
)

SHAPES = [(1, 8, 8), (3, 12, 9), (2, 16), (1, 4, 8, 6), (2,)]
NONE = torch.zeros(5)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("cutout", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_at_probability_0_nothing_happens(shape: tuple[int, ...], cutout: bool) -> None:
    x = torch.randn(16, *shape)
    assert torch.equal(augment(x, torch.zeros(()), cutout=cutout), x)
    assert torch.equal(augment(x, 0.0, cutout=cutout), x)


@pytest.mark.parametrize("shape", SHAPES)
def test_at_probability_1_samples_change(shape: tuple[int, ...]) -> None:
    x = torch.randn(16, *shape)
    y = augment(x, 1.0)
    assert y.shape == x.shape
    assert y.isfinite().all()
    assert torch.equal(y, x) == (len(shape) == 1)  # points stay as they are


def test_mirror_and_quarters_are_exact() -> None:
    x = torch.randn(5, 3, 8, 8)
    ones, still = torch.ones(5), torch.zeros(5, 2)
    assert torch.equal(resample(x, *blit(ones, NONE, still)), vision.hflip(x))
    for quarters in range(4):
        turned = resample(x, *blit(NONE, quarters * ones, still))
        assert torch.equal(turned, torch.rot90(x, quarters, dims=(2, 3)))


def test_whole_shifts_reflect_at_the_borders() -> None:
    x = torch.randn(2, 1, 8, 6)
    shift = torch.tensor([[2.0, -1.0], [0.0, 3.0]])
    y = resample(x, *blit(torch.zeros(2), torch.zeros(2), shift))
    for sample, moved, (rows, columns) in zip(x, y, shift.int().tolist(), strict=True):
        padded = np.pad(sample[0].numpy(), 4, mode="reflect")
        expected = padded[4 - rows : 12 - rows, 4 - columns : 10 - columns]
        np.testing.assert_array_equal(moved[0].numpy(), expected)


@pytest.mark.parametrize("degrees", [30.0, -75.0])
def test_rotation_and_scaling_are_those_of_torchvision(degrees: float) -> None:
    """Where no border reaches. Clockwise is from the second axis, to the right, to the first."""
    x = torch.rand(5, 3, 33, 33)
    angle, scale = torch.full((5,), math.radians(degrees)), torch.full((5,), 0.3)
    y = resample(x, *warp(scale, -angle, NONE, NONE, torch.zeros(5, 2)))
    linear = vision.InterpolationMode.BILINEAR
    expected = vision.affine(x, degrees, [0, 0], 2**0.3, [0.0], linear)
    torch.testing.assert_close(y[..., 6:-6, 6:-6], expected[..., 6:-6, 6:-6], rtol=0, atol=1e-4)


def test_everything_geometric_is_its_product_of_matrices() -> None:
    """Composed as homogeneous matrices from the middle of the picture, applied by SciPy, which
    reflects at the same places."""
    torch.set_default_dtype(torch.float64)
    try:
        x = torch.randn(5, 1, 9, 12)
        mirror, quarters = torch.randint(2, (5,)).double(), torch.randint(4, (5,)).double()
        whole = torch.randint(-2, 3, (5, 2)).double()
        scale, stretch = 0.3 * torch.randn(2, 5)
        before, after = math.pi * torch.rand(2, 5)
        fraction = torch.randn(5, 2)
        matrix, offset = blit(mirror, quarters, whole)
        warped, moved = warp(scale, before, stretch, after, fraction)
        offset = offset + (matrix @ moved[..., None])[..., 0]
        y = resample(x, matrix @ warped, offset)
    finally:
        torch.set_default_dtype(torch.float32)

    def turn(angle: float) -> np.ndarray[Any, Any]:
        c, s = math.cos(angle), math.sin(angle)
        return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])

    def shift(by: Tensor) -> np.ndarray[Any, Any]:
        return np.array([[1, 0, by[0]], [0, 1, by[1]], [0, 0, 1]])

    to_middle = shift(-(torch.tensor([9.0, 12.0]) - 1) / 2)
    for i in range(5):
        forward = (
            np.linalg.inv(to_middle)
            @ shift(fraction[i])
            @ turn(after[i])
            @ np.diag([2.0 ** stretch[i], 2.0 ** -stretch[i], 1])
            @ turn(before[i])
            @ np.diag([2.0 ** scale[i], 2.0 ** scale[i], 1])
            @ shift(whole[i])
            @ turn(quarters[i] * math.pi / 2)
            @ np.diag([1, 1 - 2 * mirror[i], 1])
            @ to_middle
        )
        expected = affine_transform(x[i, 0].numpy(), np.linalg.inv(forward), order=1, mode="mirror")
        np.testing.assert_allclose(y[i, 0].numpy(), expected, atol=1e-9)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_colour_transformations_are_their_matrices(channels: int) -> None:
    """Those of the paper, over (1, …, 1) as the axis of luma, which of one channel is all."""
    x = torch.randn(5, channels, 4, 4, dtype=torch.float64)
    brightness, contrast, angle, saturation = torch.randn(4, 5, dtype=torch.float64)
    flip = torch.tensor([0.0, 1, 1, 0, 1], dtype=torch.float64)
    y = recoloured(
        x, brightness=brightness, contrast=contrast, flip=flip, angle=angle, saturation=saturation
    )
    axis = np.ones(channels) / math.sqrt(channels)
    luma, identity = np.outer(axis, axis), np.eye(channels)
    for i in range(5):
        hue = (
            Rotation.from_rotvec(float(angle[i]) * axis).as_matrix() if channels == 3 else identity
        )
        matrix = (
            (luma + 2.0 ** saturation[i].item() * (identity - luma))
            @ hue
            @ (identity - 2 * luma * flip[i].item())
            * 2.0 ** contrast[i].item()
        )
        expected = np.einsum("ij,jhw->ihw", matrix, x[i].numpy() + brightness[i].item())
        np.testing.assert_allclose(y[i].numpy(), expected, atol=1e-12)


def test_samples_stay_as_they_are_as_often_as_all_their_chances_say() -> None:
    """The augmentation is non-leaking because it is a mixture in which the identity has weight."""
    count, p = 20_000, 0.08
    x = torch.randn(count, 3, 8, 8)
    same = (augment(x, p) == x).flatten(1).all(1).float().mean().item()
    flips = (1 - p / 2) ** 2  # mirror and luma
    turns = 1 - 3 / 4 * p
    shifts = 1 - 3 / 4 * p  # of 8 pixels by at most 1: along each side half of them by none
    others = (1 - p) ** 8  # scale, either rotation, stretch, fraction; four of colour
    expected = flips * turns * shifts * others
    assert same == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / count))


@pytest.mark.parametrize("space", [(16,), (4, 8, 8)])
def test_other_signals_are_mirrored_and_shifted(space: tuple[int, ...]) -> None:
    x = torch.randn(64, 2, *space)
    y = augment(x, 1.0)
    reach = [math.floor(side / 8) for side in space]
    explained = torch.zeros(64, dtype=torch.long)
    pad = [(0, 0), (0, 0), *((n, n) for n in reach)]
    for mirrored in (x, x.flip(-1)):
        padded = np.pad(mirrored.numpy(), pad, mode="reflect")
        for start in np.ndindex(*(2 * n + 1 for n in reach)):
            window = tuple(slice(a, a + n) for a, n in zip(start, space, strict=True))
            moved = torch.from_numpy(padded[(slice(None), slice(None), *window)])
            explained += (moved == y).flatten(1).all(1)
    assert (explained == 1).all()


def test_cutout_blanks_a_box_of_half_the_sides() -> None:
    x = torch.ones(4000, 2, 8, 12)
    y = augmentation.cut_out(x, 0.3)
    blank = y == 0
    assert torch.equal(blank[:, 0], blank[:, 1])
    cut = blank[:, 0].flatten(1).any(1)
    assert cut.float().mean().item() == pytest.approx(0.3, abs=0.03)
    rows, columns = blank[cut, 0].any(2).sum(1), blank[cut, 0].any(1).sum(1)
    assert rows.max() == 4
    assert columns.max() == 6
    assert torch.equal(blank[cut, 0].flatten(1).sum(1), rows * columns)
    # Half of each side, less a sixteenth that lies beyond on average.
    assert blank[cut, 0].float().mean().item() == pytest.approx((7 / 16) ** 2, abs=0.01)


@pytest.mark.parametrize("shape", [(3, 3, 4), (1, 8)])
def test_can_be_differentiated_twice(shape: tuple[int, ...]) -> None:
    def function(x: Tensor) -> Tensor:
        torch.manual_seed(3)
        return augment(x, 1.0, cutout=True).pow(3).sum()

    x = torch.randn(1, *shape, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(function, (x,))


def test_lower_precision_around_does_not_matter() -> None:
    x = torch.randn(8, 3, 8, 8)
    torch.manual_seed(1)
    expected = augment(x, 0.8)
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(augment(x, 0.8), expected)


def test_p_rises_while_real_samples_are_recognised_and_falls_otherwise() -> None:
    ada = AdaptiveProbability(target=0.6, examples=1000)
    sure = torch.tensor([3.0, 1, 2, 0.1, 5, 4, 1, 1])  # signs 1
    torn = torch.tensor([3.0, 1, 2, 0.1, 5, 4, 1, -1])  # 0.75
    lost = torch.tensor([3.0, -1, 2, -0.1, 5, -4, 1, -1])  # 0
    unit = 4 * 8 / 1000

    def after(*logits: Tensor) -> float:
        for step, each in enumerate(logits):
            ada.update(each, step)
        return ada.p.item()

    assert after(sure, sure, sure) == 0
    assert after(sure, sure, sure, sure) == pytest.approx(unit)  # the three before are forgotten
    assert after(torn, torn, torn, lost) == pytest.approx(0)  # 0.5625: under the target
    assert after(torn, torn, torn, torn) == pytest.approx(unit)
    assert after(sure, sure, sure, torn) == pytest.approx(2 * unit)
    assert after(*[lost] * 4) == pytest.approx(unit)
    ada.p.fill_(unit / 2)
    assert after(*[lost] * 4) == 0  # not below


def test_p_survives_a_resume_between_updates() -> None:
    logits = torch.randn(12, 8) + 0.6
    straight, first, second = (AdaptiveProbability(target=0.3, examples=100) for _ in range(3))
    for step in range(12):
        straight.update(logits[step], step)
    for step in range(6):
        first.update(logits[step], step)
    second.load_state_dict(first.state_dict())
    for step in range(6, 12):
        second.update(logits[step], step)
    assert second.p == straight.p > 0
