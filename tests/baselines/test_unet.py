"""The denoising networks: shapes, gradients, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.networks import denoising_network
from baselines.networks.layers import TimeSignals
from baselines.networks.unet import CONVOLUTIONS, Doubled, UNet, attend
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


def published(shape: tuple[int, ...], **options: Any) -> UNet:
    torch.manual_seed(0)
    defaults = {"channels": 8, "multipliers": (1, 2, 2), "blocks": 2, "dropout": 0.0}
    return UNet(shape, **(defaults | options), attention=[1], published=True)


def size(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


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


@pytest.mark.parametrize("space", [(5,), (4, 6), (2, 3, 4)])
def test_a_doubled_map_is_convolved_as_if_it_were_written_out(space: tuple[int, ...]) -> None:
    layer = Doubled(CONVOLUTIONS[len(space)], 3, 5).double()
    x = torch.randn(2, 3, *space, dtype=torch.float64)
    torch.testing.assert_close(layer(x), layer.conv(F.interpolate(x, scale_factor=2)))


def test_attention_by_products_is_pytorchs() -> None:
    q, k, v = torch.randn(3, 2, 12, 8, dtype=torch.float64)
    torch.testing.assert_close(attend(q, k, v), F.scaled_dot_product_attention(q, k, v))


@pytest.mark.parametrize("shape", [(1, 12), (1, 8, 8), (3, 40, 40), (1, 8, 8, 8)])
@pytest.mark.parametrize("build", [network, published])
def test_bfloat16_gives_the_same_output_and_gradient_but_for_rounding(
    shape: tuple[int, ...], build: Callable[..., nn.Module]
) -> None:
    # No maps of 2×2×2: there the weights' gradient of oneDNN is wrong in bfloat16.
    net = build(shape, multipliers=(1, 2))
    stir(net)
    x, time = torch.randn(4, *shape), torch.rand(4)
    seen: list[Tensor] = []
    for lower in (False, True):
        net.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=lower):
            out = net(x, time).float()
        out.square().mean().backward()
        gradient = torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])
        seen += [out.detach(), gradient]
    for exact, rounded in zip(seen[:2], seen[2:], strict=True):
        assert 0 < (rounded - exact).norm() < 0.03 * exact.norm()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_layout_in_memory_is_nobody_elses_concern(layout: torch.memory_format) -> None:
    net = network((3, 8, 8))
    stir(net)
    x, time = torch.randn(2, 3, 8, 8), torch.rand(2)
    out = net(x.contiguous(memory_format=layout), time)
    assert out.is_contiguous()
    torch.testing.assert_close(out, net(x, time))


@pytest.mark.parametrize("shape", [(3, 16), (1, 8, 8), (2, 32, 32), (1, 8, 4, 4)])
def test_the_published_wiring_takes_signals_of_any_dimension(shape: tuple[int, ...]) -> None:
    net = published(shape)
    stir(net)
    x, time = torch.randn(2, *shape), torch.rand(2)
    net(x, time).square().sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    torch.testing.assert_close(net(x, time)[1:], net(x[1:], time[1:]), rtol=1e-4, atol=1e-5)


def test_the_published_network_for_cifar10_has_the_published_size() -> None:
    """35.7 million parameters (Ho et al. 2020, appendix B)."""
    net = published((3, 32, 32), channels=128, multipliers=(1, 2, 2, 2))
    assert size(net) == pytest.approx(35.7e6, rel=0.01)


@pytest.mark.parametrize(
    ("multipliers", "blocks"), [((1, 2, 2), 2), ((1, 3), 1), ((1, 2, 4, 4), 3)]
)
def test_the_published_network_is_that_of_diffusers(
    multipliers: tuple[int, ...], blocks: int
) -> None:
    """Parameter for parameter, but for two: the time's first layer sees four times the features
    here, and has one output more, x's factor."""
    levels = len(multipliers)
    attends = [level == 1 for level in range(levels)]
    theirs = diffusers.UNet2DModel(
        sample_size=32,
        block_out_channels=tuple(32 * multiplier for multiplier in multipliers),
        layers_per_block=blocks,
        down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attends),
        up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)),
    )
    ours = published((3, 32, 32), channels=32, multipliers=multipliers, blocks=blocks)
    features = 4 * 32
    more = features * (features - 32) + features + 1
    assert size(ours) == size(theirs) + more
