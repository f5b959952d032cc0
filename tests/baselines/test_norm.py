"""The normalisation over channels that lie last, against PyTorch's own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from baselines.networks import norm
from baselines.networks.norm import ChannelsLastNorm, Norm

EPS = 1e-5
SHAPES = [(3, 8, 10), (2, 8, 4, 6), (2, 12, 1, 1), (2, 8, 2, 3, 4)]


@pytest.fixture(params=[1, 10**9], ids=["PyTorch's forward", "own forward"])
def either_forward(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(norm, "MANY_POSITIONS", request.param)


def channels_last(x: Tensor) -> Tensor:
    """The same numbers with channels last in memory, whatever the number of sides."""
    return x.movedim(1, -1).contiguous().movedim(-1, 1)


def inputs(
    shape: tuple[int, ...], *, by_sample: bool, offset: float = 0.0
) -> tuple[Tensor, Tensor, Tensor]:
    """x, scale and shift in float64, of many sizes and far from 0 by ``offset`` deviations."""
    torch.manual_seed(0)
    factors = shape[:2] if by_sample else shape[1:2]
    x = channels_last(3 * torch.randn(shape, dtype=torch.float64) + 3 * offset)
    scale, shift = torch.randn(2, *factors, dtype=torch.float64)
    return x.requires_grad_(), scale.requires_grad_(), shift.requires_grad_()


def plain(x: Tensor, scale: Tensor, shift: Tensor, groups: int, *, silu: bool) -> Tensor:
    sides = (1,) * (x.ndim - 2)
    scale, shift = (factor.view(-1, x.shape[1], *sides) for factor in (scale, shift))
    h = F.group_norm(x, groups, eps=EPS) * scale + shift
    return F.silu(h) if silu else h


@pytest.mark.usefixtures("either_forward")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("by_sample", [False, True])
@pytest.mark.parametrize("silu", [False, True])
def test_values_and_gradients_are_those_of_the_plain_formulation(
    shape: tuple[int, ...], by_sample: bool, silu: bool
) -> None:
    arguments = inputs(shape, by_sample=by_sample)
    ours = ChannelsLastNorm.apply(*arguments, 4, EPS, silu)
    theirs = plain(*arguments, 4, silu=silu)
    torch.testing.assert_close(ours, theirs)
    weights = torch.randn_like(theirs)
    torch.testing.assert_close(
        torch.autograd.grad(ours, arguments, weights),
        torch.autograd.grad(theirs, arguments, weights),
    )


@pytest.mark.usefixtures("either_forward")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("by_sample", [False, True])
def test_gradients_are_those_of_differences(shape: tuple[int, ...], by_sample: bool) -> None:
    arguments = inputs(shape, by_sample=by_sample)
    assert torch.autograd.gradcheck(
        lambda *arguments: ChannelsLastNorm.apply(*arguments, 2, EPS, True), arguments
    )


@pytest.mark.parametrize(("side", "offset"), [(16, 0), (16, 10), (16, 100.3), (32, 0), (32, 10)])
def test_bfloat16_is_rounded_little_more_than_by_pytorch(side: int, offset: float) -> None:
    """Also where the mean is many deviations from 0, as after a layer with a large bias."""
    x, scale, shift = inputs((4, 64, side, side), by_sample=False, offset=offset)
    rounded = x.detach().bfloat16()
    # Along x, or the gradient would lie across what is subtracted from it.
    weights = (torch.randn(x.shape) + x.detach() / 3 - offset).bfloat16()
    factors = scale.detach().float(), shift.detach().float()

    def results(function: Callable[..., Tensor], *arguments: Tensor) -> list[Tensor]:
        arguments = tuple(argument.detach().requires_grad_() for argument in arguments)
        out = function(*arguments)
        gradients = torch.autograd.grad(out, arguments, weights.to(out.dtype))
        return [result.detach().double() for result in (out, *gradients)]

    truth = results(lambda *a: plain(*a, 16, silu=True), rounded.double(), scale, shift)
    ours = results(lambda *a: ChannelsLastNorm.apply(*a, 16, EPS, True), rounded, *factors)
    theirs = results(
        lambda x, *a: F.silu(F.group_norm(x, 16, *a, EPS)), rounded.contiguous(), *factors
    )
    for exact, mine, yours in zip(truth, ours, theirs, strict=True):
        one_rounding = 2**-9 * exact.norm()
        assert (yours - exact).norm() < 4 * one_rounding
        assert (mine - exact).norm() < 2 * max(one_rounding, (yours - exact).norm())


def test_what_has_channels_last_keeps_them_last() -> None:
    x = channels_last(torch.randn(2, 8, 4, 4)).bfloat16()
    assert Norm(8)(x).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("silu", [False, True])
@pytest.mark.parametrize("with_signal", [False, True])
def test_every_layout_and_precision_gives_one_result(silu: bool, with_signal: bool) -> None:
    torch.manual_seed(0)
    layer = Norm(16, silu=silu)
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(3, 16, 8, 8)
    signal = torch.randn(3, 32) if with_signal else None
    expected = layer(x, signal)
    torch.testing.assert_close(layer(channels_last(x), signal), expected)
    for layout in (x, channels_last(x)):
        rounded = layer(layout.bfloat16(), None if signal is None else signal.bfloat16())
        assert rounded.dtype == torch.bfloat16
        torch.testing.assert_close(rounded.float(), expected, rtol=0.03, atol=0.03)
    with torch.no_grad():
        assert torch.equal(layer(x, signal), expected)


def test_the_input_is_left_alone_without_gradients() -> None:
    x = torch.randn(2, 8, 4, 4)
    before = x.clone()
    with torch.no_grad():
        Norm(8)(x)
    assert torch.equal(x, before)


def test_a_second_derivative_is_refused() -> None:
    x, scale, shift = inputs((2, 8, 4, 4), by_sample=False)
    out = ChannelsLastNorm.apply(x, scale, shift, 2, EPS, True)
    with pytest.raises(NotImplementedError, match="cannot be differentiated twice"):
        torch.autograd.grad(out.sum(), x, create_graph=True)


@pytest.mark.parametrize(("channels", "groups"), [(4, 1), (24, 2), (64, 16), (128, 32), (512, 32)])
def test_groups_have_at_least_four_channels(channels: int, groups: int) -> None:
    assert Norm(channels).num_groups == groups
