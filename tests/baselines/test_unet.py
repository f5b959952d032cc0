"""The denoising networks: shapes, gradients, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from baselines.networks import denoising_network
from baselines.networks.layers import TimeSignals
from baselines.networks.unet import UNet
from genbench.errors import UsageError
from genbench.types import SampleSpec

SHAPES = [
    (1, 8),
    (2, 12),
    (1, 8, 8),
    (3, 8, 12),
    (2, 20, 20),
    (1, 4, 4, 4),
    (3, 4, 8, 4),
    (2,),
    (5,),
]


def network(shape: tuple[int, ...], **options: Any) -> nn.Module:
    torch.manual_seed(0)
    defaults = {"channels": 8, "multipliers": (1, 2), "blocks": 1, "dropout": 0.0}
    return denoising_network(SampleSpec("any", shape), **(defaults | options))


def stir(module: nn.Module) -> None:
    """Give the layers that start at zero something to pass on."""
    for parameter in module.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_output_has_the_shape_of_the_input_and_starts_at_zero(shape: tuple[int, ...]) -> None:
    out = network(shape)(torch.randn(2, *shape), torch.rand(2))
    assert out.shape == (2, *shape)
    assert not out.any()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("options", [{}, {"multipliers": (1, 2, 2), "blocks": 2, "dropout": 0.1}])
def test_the_gradient_reaches_every_parameter(
    shape: tuple[int, ...], options: dict[str, Any]
) -> None:
    net = network(shape, **options)
    stir(net)
    net(torch.randn(3, *shape), torch.rand(3)).square().sum().backward()
    untouched = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert untouched == []


@pytest.mark.parametrize("shape", SHAPES)
def test_samples_pass_through_one_by_one(shape: tuple[int, ...]) -> None:
    net = network(shape)
    stir(net)
    x, time = torch.randn(4, *shape), torch.rand(4)
    torch.testing.assert_close(net(x, time)[1:2], net(x[1:2], time[1:2]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 8, 8), (2,)])
def test_the_output_depends_on_the_time(shape: tuple[int, ...]) -> None:
    net = network(shape)
    stir(net)
    x = torch.randn(1, *shape)
    assert not torch.allclose(net(x, torch.tensor([0.2])), net(x, torch.tensor([0.8])))


@pytest.mark.parametrize(
    ("shape", "multipliers", "message"),
    [
        ((1, 9, 8), (1, 2), "each must be divisible by 2; the samples are 9×8"),
        ((3, 6, 6), (1, 2, 2), "3 multipliers halve the sides 2 times, .* divisible by 4"),
        ((1, 2, 2, 2, 2), (1, 2), "needs samples of 1 to 3 sides, not 4"),
    ],
)
def test_samples_that_do_not_fit_are_refused(
    shape: tuple[int, ...], multipliers: tuple[int, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        network(shape, multipliers=multipliers)


def test_channels_must_be_a_multiple_of_4() -> None:
    with pytest.raises(UsageError, match="channels must be a multiple of 4, got 10"):
        network((1, 8, 8), channels=10)


@pytest.mark.parametrize(("side", "small"), [(8, True), (16, True), (32, False)])
def test_only_small_maps_get_a_dense_block(side: int, small: bool) -> None:
    net = network((1, side, side))
    assert isinstance(net, UNet)
    assert (net.dense is not None) is small
    assert (net.positions is not None) is small


def test_without_dropout_training_and_evaluation_agree() -> None:
    net = network((1, 8, 8))
    stir(net)
    x, time = torch.randn(2, 1, 8, 8), torch.rand(2)
    assert torch.equal(net.train()(x, time), net.eval()(x, time))


def test_dropout_is_off_in_evaluation_only() -> None:
    net = network((1, 8, 8), dropout=0.5)
    stir(net)
    x, time = torch.randn(2, 1, 8, 8), torch.rand(2)
    assert not torch.equal(net.train()(x, time), net(x, time))
    assert torch.equal(net.eval()(x, time), net(x, time))


def test_every_block_gets_a_signal_of_its_width() -> None:
    signals = TimeSignals(16, [8, 4, 12])(torch.rand(5))
    assert [tuple(signal.shape) for signal in signals] == [(5, 8), (5, 4), (5, 12)]


def test_neighbouring_timesteps_of_a_thousand_look_different() -> None:
    embedding = TimeSignals(64, [64])
    embedding.layers = nn.Identity()  # type: ignore[assignment]
    embedding.widths = [64]
    (features,) = embedding(torch.arange(1, 1001) / 1000)
    gaps = (features[1:] - features[:-1]).norm(dim=1)
    assert gaps.min() > 0.5
