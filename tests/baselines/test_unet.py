"""The denoising networks: shapes, gradients, and what they refuse."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.networks import denoising_network
from baselines.networks.attention import WHOLE_PRODUCTS, attend
from baselines.networks.blocks import CONVOLUTIONS, Attention, Doubled
from baselines.networks.layers import Sinusoids, TimeSignals
from baselines.networks.patched import Patched, fold, patched_shape, unfold
from baselines.networks.unet import UNet
from genbench.api import SampleSpec
from genbench.api.errors import UsageError
from genbench.registry import call

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
    built: nn.Module = call(denoising_network, SampleSpec("any", shape), **(defaults | options))
    return built


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
    signals = TimeSignals(Sinusoids(16), 24, [8, 4, 12])(torch.rand(5))
    assert [tuple(signal.shape) for signal in signals] == [(5, 8), (5, 4), (5, 12)]


def test_neighbouring_timesteps_of_a_thousand_look_different() -> None:
    features = Sinusoids(64)(torch.arange(1, 1001) / 1000)
    gaps = (features[1:] - features[:-1]).norm(dim=1)
    assert gaps.min() > 0.5


@pytest.mark.parametrize("space", [(5,), (4, 6), (2, 3, 4)])
def test_a_doubled_map_is_convolved_as_if_it_were_written_out(space: tuple[int, ...]) -> None:
    layer = Doubled(CONVOLUTIONS[len(space)], 3, 5).double()
    x = torch.randn(2, 3, *space, dtype=torch.float64)
    torch.testing.assert_close(layer(x), layer.conv(F.interpolate(x, scale_factor=2)))


@pytest.mark.parametrize("positions", [12, WHOLE_PRODUCTS + 1])
@pytest.mark.parametrize("heads", [1, 4])
def test_attention_is_pytorchs_whether_by_products_or_not(positions: int, heads: int) -> None:
    q, k, v = torch.randn(3, 2, positions, 8, dtype=torch.float64)
    torch.testing.assert_close(
        attend(q, k, v, heads=heads),
        F.multi_head_attention_forward(
            *(part.transpose(0, 1) for part in (q, k, v)),
            8,
            heads,
            torch.eye(8, dtype=torch.float64).repeat(3, 1),
            None,
            None,
            None,
            False,
            0.0,
            torch.eye(8, dtype=torch.float64),
            None,
            need_weights=False,
        )[0].transpose(0, 1),
    )


@pytest.mark.parametrize("shape", [(1, 12), (1, 8, 8), (3, 40, 40), (1, 8, 8, 8)])
def test_bfloat16_gives_the_same_output_and_gradient_but_for_rounding(
    shape: tuple[int, ...],
) -> None:
    # No maps of 2×2×2: there the weights' gradient of oneDNN is wrong in bfloat16.
    net = network(shape, multipliers=(1, 2))
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


@pytest.mark.parametrize("shape", [(1, 8), (3, 8, 8), (1, 4, 4, 4), (2,)])
def test_labels_change_the_output_and_no_class_is_one_of_them(shape: tuple[int, ...]) -> None:
    net = network(shape, classes=3)
    stir(net)
    x, time = torch.randn(1, *shape).expand(4, *shape), torch.full((4,), 0.5)
    outs = net(x, time, torch.arange(4))
    for one, other in combinations(outs, 2):
        assert not torch.allclose(one, other)
    outs.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


@pytest.mark.parametrize("shape", [(3, 8, 8), (2,)])
def test_a_label_adds_to_the_embedding_of_the_time(shape: tuple[int, ...]) -> None:
    """So that with rows of 0 the network is the one without classes."""
    plain, labelled = network(shape), network(shape, classes=3)
    stir(plain)
    rows = {"signals.labels.weight": torch.zeros(4, labelled.signals.labels.weight.shape[1])}
    labelled.load_state_dict(plain.state_dict() | rows)
    x, time = torch.randn(2, *shape), torch.rand(2)
    assert torch.equal(labelled(x, time, torch.tensor([0, 3])), plain(x, time))


@pytest.mark.parametrize("shape", [(1, 8), (3, 8, 8), (1, 4, 4, 4), (2,)])
def test_twice_the_channels_come_out_for_learned_variances(shape: tuple[int, ...]) -> None:
    net = network(shape, outputs=2)
    stir(net)
    assert net(torch.randn(2, *shape), torch.rand(2)).shape == (2, 2 * shape[0], *shape[1:])


def test_x_itself_is_added_to_the_first_of_the_outputs_alone() -> None:
    net = network((2, 8, 8), outputs=2)
    nn.init.ones_(net.signals.layers[4].bias)
    x = torch.randn(3, 2, 8, 8)
    first, second = net(x, torch.rand(3)).chunk(2, dim=1)
    assert torch.equal(first, x)
    assert not second.any()


@pytest.mark.parametrize(
    ("attention", "attending"), [(None, {1}), ((16,), {0}), ((8, 16), {0, 1}), ((), set())]
)
def test_maps_attend_by_their_longest_side(
    attention: tuple[int, ...] | None, attending: set[int]
) -> None:
    net = network((1, 8, 16), attention=attention)
    assert isinstance(net, UNet)
    down = [isinstance(block.attention, Attention) for block in net.down]
    assert {level for level, attends in enumerate(down) if attends} == attending
    assert [isinstance(block.attention, Attention) for block in net.up] == down[::-1]


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((1, 8, 16), {"attention": (8, 32)}, "no map has a side of 32; the sides are 16, 8"),
        ((2,), {"attention": (1,)}, "attention is an option of the U-Nets"),
        ((1, 8, 8), {"attention": (4,), "network": "dit"}, "attention is an option of the U-Nets"),
        ((2,), {"network": "ddpm"}, "network 'ddpm' needs samples with sides; points have none"),
    ],
)
def test_options_that_do_not_fit_the_network_are_refused(
    shape: tuple[int, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        network(shape, **options)


@pytest.mark.parametrize("shape", [(2, 12), (3, 8, 12), (1, 4, 8, 4)])
def test_a_patch_is_a_square_of_positions(shape: tuple[int, ...]) -> None:
    x = torch.randn(2, *shape)
    sides = len(shape) - 1
    folded = fold(x, 2)
    assert folded.shape[1:] == patched_shape(shape, 2)
    assert torch.equal(unfold(folded, 2, sides), x)
    if sides == 2:
        assert torch.equal(folded, torch.nn.functional.pixel_unshuffle(x, 2))
    # A position of the folded map holds the patch that was there.
    first = folded[(slice(None), slice(None), *[0] * sides)]
    patch = x[(slice(None), slice(None), *[slice(2)] * sides)]
    assert torch.equal(first.sort(1).values, patch.flatten(1).sort(1).values)


def test_patches_of_a_network_with_several_outputs() -> None:
    spec = SampleSpec("image", (3, 8, 8))
    net = call(denoising_network, spec, channels=4, multipliers=(1,), patch=2, outputs=2)
    assert isinstance(net, Patched)
    inner = net.network
    x, time = torch.randn(2, 3, 8, 8), torch.rand(2)
    for parameter in inner.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    first, second = inner(fold(x, 2), time).chunk(2, dim=1)
    made = net(x, time)
    assert torch.equal(made, torch.cat([unfold(first, 2, 2), unfold(second, 2, 2)], dim=1))


def test_sides_that_are_no_multiple_of_the_patch() -> None:
    for shape, named in (((1, 6, 8), "6×8"), ((2,), "2")):
        with pytest.raises(UsageError, match=f"patch = 4 needs sides .* the samples are {named}"):
            call(denoising_network, SampleSpec("any", shape), patch=4)
