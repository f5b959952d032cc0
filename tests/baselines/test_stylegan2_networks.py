"""StyleGAN2's networks: their layers against explicit sums, path lengths against the Jacobian."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy.signal import upfirdn
from torch import Tensor, nn
from torch.nn.functional import conv1d, conv2d, conv3d, pad

from baselines.networks.pyramid import Filter, PyramidOptions, sizes
from baselines.networks.stylegan2 import (
    Conv,
    Generator,
    Linear,
    ModulatedConv,
    StyledLayer,
    deviation,
    path_lengths_of,
)

CONVOLVE = {1: conv1d, 2: conv2d, 3: conv3d}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def shaken(module: nn.Module) -> nn.Module:
    """With nothing left at zero, in double precision."""
    for parameter in module.double().parameters():
        nn.init.normal_(parameter)
    return module


@pytest.mark.parametrize("space", [(8,), (6, 4), (4, 4, 6)])
def test_resampling_is_the_published_filter_between_zeros(space: tuple[int, ...]) -> None:
    """Against SciPy, a side at a time: its output of length 2n + 2 has one value more at each
    end than twice the side."""
    x = torch.randn(2, 3, *space, dtype=torch.float64)
    filter = Filter(len(space)).double()
    taps = torch.tensor([1.0, 3, 3, 1], dtype=torch.float64) / 8
    up = down = x.numpy()
    for axis in range(2, x.dim()):
        side = x.shape[axis]
        up = upfirdn(2 * taps, up, up=2, axis=axis).take(range(1, 2 * side + 1), axis)
        down = upfirdn(taps, down, axis=axis).take(range(2, side + 2, 2), axis)
    torch.testing.assert_close(filter.up(x), torch.from_numpy(up))
    torch.testing.assert_close(filter.down(x), torch.from_numpy(down))


@pytest.mark.parametrize("space", [(8,), (6, 4), (4, 4, 6)])
def test_down_is_the_adjoint_of_up(space: tuple[int, ...]) -> None:
    filter = Filter(len(space)).double()
    x = torch.randn(2, 3, *space, dtype=torch.float64)
    y = torch.randn_like(filter.up(x))
    torch.testing.assert_close(
        (filter.up(x) * y).sum(), 2 ** len(space) * (x * filter.down(y)).sum()
    )
    inner = (..., *[slice(1, -1)] * len(space))
    torch.testing.assert_close(filter.up(torch.ones_like(x))[inner], torch.ones_like(y)[inner])


LEVELS = {
    (8, 8): [(4, 4), (8, 8)],
    (28, 28): [(7, 7), (14, 14), (28, 28)],
    (12, 28): [(6, 14), (12, 28)],
    (16,): [(4,), (8,), (16,)],
    (7, 7): [(7, 7)],
}


@pytest.mark.parametrize(("space", "expected"), LEVELS.items())
def test_sides_are_halved_together(space: tuple[int, ...], expected: list[tuple[int, ...]]) -> None:
    assert sizes("it", space) == expected


def spread(x: Tensor) -> Tensor:
    """Zeros between the values."""
    out = x.new_zeros(*x.shape[:2], *(2 * side - 1 for side in x.shape[2:]))
    out[(..., *[slice(None, None, 2)] * (x.dim() - 2))] = x
    return out


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize("space", [(4,), (3, 5), (3, 2, 4)])
def test_modulated_convolution_has_its_own_weights_for_each_sample(
    space: tuple[int, ...], up: bool, demodulate: bool
) -> None:
    """Equations 1 and 3 of Karras et al. (2020), written out."""
    dimensions = len(space)
    convolve = CONVOLVE[dimensions]
    layer = ModulatedConv(3, 4, 3, dimensions, 6, demodulate=demodulate)
    shaken(layer)
    x = torch.randn(2, 3, *space, dtype=torch.float64)
    w = torch.randn(2, 6, dtype=torch.float64)
    expected = []
    for sample, style in zip(x, layer.style(w), strict=True):
        weight = layer.weight * style.view(1, -1, *[1] * dimensions)
        if demodulate:
            energy = weight.square().flatten(1).sum(1) + 1e-8
            weight = weight / energy.sqrt().view(-1, 1, *[1] * dimensions)
        else:
            weight = weight / math.sqrt(3 * 3**dimensions)
        if up:
            # The adjoint convolution correlates with the kernel turned round.
            turned = weight.flip(*range(2, 2 + dimensions))
            full = convolve(pad(spread(sample[None]), [2, 2] * dimensions), turned)
            kernel = 2**dimensions * layer.filter.kernel.expand(4, 1, *[4] * dimensions)
            y = convolve(pad(full, [1, 1] * dimensions), kernel, groups=4)
        else:
            y = convolve(sample[None], weight, padding=1)
        expected.append(y[0])
    torch.testing.assert_close(layer(x, w, up=up), torch.stack(expected))


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("space", [(8,), (6, 4), (4, 2, 6)])
def test_convolution_smooths_before_it_skips(space: tuple[int, ...], width: int) -> None:
    dimensions = len(space)
    convolve = CONVOLVE[dimensions]
    layer = Conv(2, 3, width, dimensions)
    shaken(layer)
    x = torch.randn(2, 2, *space, dtype=torch.float64)
    weight = layer.weight / math.sqrt(2 * width**dimensions)
    kernel = layer.filter.kernel.expand(2, 1, *[4] * dimensions)
    border = [1 + width // 2] * 2 * dimensions
    full = convolve(convolve(pad(x, border), kernel, groups=2), weight, layer.bias)
    every = (..., *[slice(None, None, 2)] * dimensions)
    torch.testing.assert_close(layer(x, down=True), full[every])
    torch.testing.assert_close(layer(x), convolve(x, weight, layer.bias, padding=width // 2))


@pytest.mark.parametrize("rate", [1.0, 0.01])
def test_equalised_layers_move_at_their_rate_whatever_their_size(rate: float) -> None:
    """What Adam's first step, of size lr for every weight, makes of the weights in use."""
    layer = Linear(400, 50, rate=rate)
    identity = torch.eye(400)

    def used() -> Tensor:
        return (layer(identity) - layer(torch.zeros(1, 400))).detach()

    before, bias = used(), layer(torch.zeros(1, 400)).detach()
    assert before.std().item() == pytest.approx(1 / math.sqrt(400), rel=0.02)
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-3)
    layer(torch.randn(8, 400)).square().sum().backward()
    optimizer.step()
    step = (used() - before).abs()
    torch.testing.assert_close(step, torch.full_like(step, 1e-3 * rate / 20), rtol=0.05, atol=1e-7)
    step = (layer(torch.zeros(1, 400)) - bias).abs()
    torch.testing.assert_close(step, torch.full_like(step, 1e-3 * rate), rtol=0.01, atol=1e-7)


def test_noise_is_one_plane_for_all_channels() -> None:
    layer = StyledLayer(3, 4, 2, 6, up=False)
    x, w = torch.randn(5, 3, 6, 6), torch.randn(5, 6)
    torch.testing.assert_close(layer(x, w), layer(x, w))  # its strength is zero at the start
    with torch.no_grad():
        layer.strength.fill_(0.5)
        layer.conv.weight.zero_()
    y = layer(x, w) / math.sqrt(2)
    noise = torch.where(y > 0, y, 5 * y)
    torch.testing.assert_close(noise, noise[:, :1].expand_as(noise))
    assert noise.std().item() == pytest.approx(0.5, rel=0.2)
    assert not torch.allclose(noise[0], noise[1])


def test_deviation_is_that_of_its_group() -> None:
    x = torch.randn(2 * 6, 3, 4, 4)
    ours = deviation(x, 2, 4)  # of 6 samples, groups of 3
    for minibatch in range(2):
        for first in range(2):
            rows = [6 * minibatch + first + 2 * k for k in range(3)]
            expected = (x[rows].var(0, unbiased=False) + 1e-8).sqrt().mean()
            torch.testing.assert_close(ours[rows], expected.expand(3, 1, 4, 4))


def generator(**options: Any) -> Generator:
    widths = PyramidOptions(channels=2, max_channels=4).widths(2)
    module = Generator(2, sizes("it", (8, 8)), widths, latent=5, **options)
    return module.double()


def test_path_lengths_are_those_of_the_jacobian() -> None:
    """Of a linear generator, whose Jacobian is its matrix; the last layer's w counts as zero."""
    matrix = torch.randn(2 * 8 * 8, 3 * 5, dtype=torch.float64)
    styles = torch.randn(4, 3, 5, dtype=torch.float64, requires_grad=True)

    def synthesize(styles: Tensor) -> Tensor:
        return (styles.flatten(1) @ matrix.T).view(-1, 2, 8, 8)

    torch.manual_seed(3)
    samples, lengths = path_lengths_of(synthesize, styles)
    torch.manual_seed(3)
    y = torch.randn(4, 2, 8, 8, dtype=torch.float64) / 8
    torch.testing.assert_close(samples, synthesize(styles))
    expected = (y.flatten(1) @ matrix).square().sum(1) / 3  # the mean square over the layers
    torch.testing.assert_close(lengths, expected.sqrt())


def test_path_lengths_of_the_network_are_those_of_its_jacobian() -> None:
    module = generator(mapping_layers=2, classes=0)
    z = torch.randn(3, 5, dtype=torch.float64)
    module.train(False)
    torch.manual_seed(3)
    samples, lengths = module(z, path_lengths=True)
    # The network draws its noises, whose strength is zero at the start, before y is drawn.
    torch.manual_seed(3)
    torch.testing.assert_close(module(z)[0], samples)
    y = torch.randn_like(samples) / 8
    styles = module.mapping(z, None)[:, None].expand(-1, module.count, -1)
    jacobian = torch.autograd.functional.jacobian(module.synthesize, styles)
    for i in range(3):
        gradient = torch.einsum("chw,chwld->ld", y[i], jacobian[i, :, :, :, i])
        torch.testing.assert_close(lengths[i], gradient.square().sum(1).mean().sqrt())


def test_mixing_takes_another_w_from_some_layer_on() -> None:
    network = generator(mapping_layers=2, classes=0)
    z = torch.randn(400, 5, dtype=torch.float64)
    own = network.mapping(z, None)[:, None]
    styles = network.styles_of(z, None, 1.0, 0.9)
    kept = (styles == own).all(2)
    assert kept[:, 0].all()
    assert (kept[:, :-1] >= kept[:, 1:]).all()  # once another, always another
    assert (~kept[:, -1]).double().mean().item() == pytest.approx(0.9, abs=0.06)
    assert torch.equal(network.styles_of(z, None, 1.0, 0.0), own.expand(-1, 4, -1))
