"""The U-Nets of the papers: as large as published, of diffusers' parts, for signals of any kind."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.downsampling import FirDownsample2D, downsample_2d
from diffusers.models.embeddings import get_timestep_embedding
from diffusers.models.upsampling import upsample_2d
from torch import Tensor, nn

from baselines.networks import DESIGNS, denoising_network
from baselines.networks.blocks import BOX, Attention, Block, Blurred, Halved, Resample, Style
from baselines.networks.layers import Fourier, Sinusoids
from baselines.networks.published import PublishedUNet
from genbench.api import SampleSpec
from genbench.registry import call

README = Path(__file__).parents[2] / "baselines" / "README.md"

SHAPES = [(2, 16), (1, 8, 8), (3, 8, 12), (1, 8, 4, 4)]

PICTURES, LATENTS = (3, 32, 32), (4, 32, 32)
DDPM = {"network": "ddpm", "channels": 128, "blocks": 2}
DDPMPP = {"network": "ddpmpp", "channels": 128, "multipliers": (1, 2, 2, 2), "blocks": 4}
NCSNPP = DDPMPP | {"network": "ncsnpp"}
EDM = {"multipliers": (2, 2, 2)}
ADM = {"network": "adm", "channels": 192, "multipliers": (1, 2, 3, 4), "blocks": 3}
DIT = {"network": "dit", "multipliers": (1, 2), "classes": 1000, "outputs": 2}

PUBLISHED: dict[str, tuple[tuple[int, ...], dict[str, Any], int]] = {
    "DDPM, CIFAR-10": (PICTURES, DDPM | {"multipliers": (1, 2, 2, 2)}, 35_746_307),
    "DDPM, 256×256": ((3, 256, 256), DDPM | {"multipliers": (1, 1, 2, 2, 4, 4)}, 113_673_219),
    "DDPM++, CIFAR-10": (PICTURES, DDPMPP, 61_804_419),
    "DDPM++ deep, CIFAR-10": (PICTURES, DDPMPP | {"blocks": 8}, 106_632_579),
    "NCSN++, CIFAR-10": (PICTURES, NCSNPP, 62_758_787),
    "NCSN++ deep, CIFAR-10": (PICTURES, NCSNPP | {"blocks": 8}, 107_586_947),
    "EDM (DDPM++), CIFAR-10": (PICTURES, DDPMPP | EDM, 55_732_739),
    "EDM (NCSN++), CIFAR-10": (PICTURES, NCSNPP | EDM, 56_395_523),
    "ADM, ImageNet 64×64": ((3, 64, 64), ADM | {"classes": 1000}, 295_900_035),
    "DiT-S/2": (LATENTS, DIT | {"channels": 192, "blocks": 3}, 32_865_056),
    "DiT-B/2": (LATENTS, DIT | {"channels": 384, "blocks": 3}, 130_315_808),
    "DiT-L/2": (LATENTS, DIT | {"channels": 512, "blocks": 6}, 457_840_672),
}
"""Samples, options and exact number of parameters; the README says what is published of each."""


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


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configurations_have_as_many_parameters(name: str) -> None:
    shape, options, expected = PUBLISHED[name]
    with torch.device("meta"):
        net = network(shape, **options)
    count = sum(parameter.numel() for parameter in net.parameters())
    assert count == expected
    (row,) = re.findall(rf"\| {re.escape(name)} \|.*", README.read_text(encoding="utf-8"))
    assert f"| {count:,} |" in row
    (said,) = re.findall(r"([\d.]+) M\b", row)
    assert round(count / 1e6, len(said.partition(".")[2])) == float(said)


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("shape", SHAPES)
def test_signals_of_any_dimension(name: str, shape: tuple[int, ...]) -> None:
    net = network(shape, network=name, multipliers=(1, 2, 2), blocks=2, outputs=2, classes=3)
    x, time, labels = torch.randn(3, *shape), torch.rand(3), torch.tensor([0, 1, 3])
    out = net(x, time, labels)
    assert out.shape == (3, 2 * shape[0], *shape[1:])
    assert not out.any()
    stir(net)
    net(x, time, labels).square().sum().backward()
    untouched = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert untouched == []
    torch.testing.assert_close(
        net(x, time, labels)[1:2], net(x[1:2], time[1:2], labels[1:2]), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", DESIGNS)
def test_the_output_depends_on_the_time_and_on_the_label(name: str) -> None:
    net = network((1, 8, 8), network=name, classes=3)
    stir(net)
    x = torch.randn(1, 1, 8, 8).expand(3, 1, 8, 8)
    time, labels = torch.tensor([0.2, 0.8, 0.2]), torch.tensor([0, 0, 3])
    first, later, unlabelled = net(x, time, labels)
    assert not torch.allclose(first, later)
    assert not torch.allclose(first, unlabelled)


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("shape", [(1, 16), (1, 16, 16), (1, 8, 8, 8)])
def test_bfloat16_gives_the_same_output_and_gradient_but_for_rounding(
    name: str, shape: tuple[int, ...]
) -> None:
    net = network(shape, network=name, channels=16)
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
        assert 0 < (rounded - exact).norm() < 0.05 * exact.norm()


@pytest.mark.parametrize("name", ["ddpm", "ddpmpp", "adm"])
def test_the_timesteps_that_are_embedded(name: str) -> None:
    """Ho et al. count from 0: t of T is their t - 1, T being 1000."""
    net = network((1, 8, 8), network=name, channels=32, time_scale=1000)
    assert isinstance(net, PublishedUNet)
    t = torch.tensor([1, 2, 500, 1000])
    theirs = get_timestep_embedding(
        t - 1 if name == "ddpm" else t,
        32,
        flip_sin_to_cos=name == "adm",
        downscale_freq_shift=0 if name == "adm" else 1,
    )
    torch.testing.assert_close(net.signals.embedding(t / 1000), theirs, rtol=0, atol=3e-4)


def test_fourier_features_have_the_published_spread_and_stay_with_the_weights() -> None:
    torch.manual_seed(0)
    features = Fourier(4096)
    assert features.frequencies.std() == pytest.approx(16, rel=0.05)
    assert "frequencies" in features.state_dict()
    time = torch.tensor([0.3])
    sines, cosines = features(time).chunk(2, dim=1)
    torch.testing.assert_close(sines.square() + cosines.square(), torch.ones(1, 2048))
    torch.testing.assert_close(sines[0, 0], (2 * torch.pi * features.frequencies[0] * 0.3).sin())
    assert features.features == Sinusoids(4096).features


@pytest.mark.parametrize("taps", [BOX, (1, 3, 3, 1)])
def test_resampled_pictures_are_diffusers(taps: tuple[int, ...]) -> None:
    x = torch.randn(2, 3, 4, 6, dtype=torch.float64)
    torch.testing.assert_close(Resample(taps, up=True)(x), upsample_2d(x, taps))
    torch.testing.assert_close(Resample(taps, up=False)(x), downsample_2d(x, taps))


@pytest.mark.parametrize("taps", [BOX, (1, 3, 3, 1)])
@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("space", [(4, 6), (2, 4, 6)])
def test_resampling_is_that_of_each_side_in_turn(
    space: tuple[int, ...], up: bool, taps: tuple[int, ...]
) -> None:
    x = torch.randn(2, 3, *space, dtype=torch.float64)
    resample = Resample(taps, up=up)
    expected = x
    for side in range(2, x.ndim):
        lines = expected.movedim(side, -1)
        changed = resample(lines.reshape(-1, 1, lines.shape[-1]))
        expected = changed.view(*lines.shape[:-1], -1).movedim(-1, side)
    torch.testing.assert_close(resample(x), expected)


def test_an_input_pyramid_is_diffusers() -> None:
    theirs = FirDownsample2D(3, 5, use_conv=True)
    ours = Blurred(nn.Conv2d, 3, 5, (1, 3, 3, 1))
    ours.conv.load_state_dict(theirs.Conv2d_0.state_dict())
    x = torch.randn(2, 3, 8, 12)
    torch.testing.assert_close(ours(x), theirs(x))


def test_halving_starts_from_the_first_position_or_from_the_second() -> None:
    ours = Halved(nn.Conv1d, 1, centred=False)
    nn.init.constant_(ours.conv.weight, 0)
    nn.init.constant_(ours.conv.bias, 0)
    ours.conv.weight.data[0, 0, 1] = 1
    x = torch.arange(8.0)[None, None]
    assert ours(x).tolist() == [[[1, 3, 5, 7]]]
    centred = Halved(nn.Conv1d, 1, centred=True)
    centred.load_state_dict(ours.state_dict())
    assert centred(x).tolist() == [[[0, 2, 4, 6]]]


@pytest.mark.parametrize(
    ("channels", "groups"), [(32, 8), (128, 32), (192, 32), (384, 32), (24, 6), (136, 17), (4, 1)]
)
def test_groups_of_four_channels_at_least_and_at_most_32_of_them(
    channels: int, groups: int
) -> None:
    """min(32, C/4) as in the papers, and where that does not divide C the next that does."""
    assert Style(groups=32).norm(channels).num_groups == groups


@pytest.mark.parametrize(
    ("name", "shape", "attending"),
    [
        ("ddpm", (1, 32, 32), [16]),
        ("ddpmpp", (1, 28, 28), [14]),
        ("ncsnpp", (1, 8, 32), [16]),
        ("adm", (1, 64, 64), [32, 16]),
        ("ddpm", (1, 128, 128), []),
    ],
)
def test_which_maps_attend_where_nobody_says(
    name: str, shape: tuple[int, ...], attending: list[int]
) -> None:
    net = network(shape, network=name, multipliers=(1, 1, 1))
    assert isinstance(net, PublishedUNet)
    blocks = [module for module in net.down if isinstance(module, Block) and not resamples(module)]
    sides = [max(shape[1:]) // 2**level for level in range(3)]
    found = [s for s, b in zip(sides, blocks, strict=True) if isinstance(b.attention, Attention)]
    assert found == attending
    first, second = net.middle
    assert isinstance(first.attention, Attention)
    assert not isinstance(second.attention, Attention)


def resamples(block: Block) -> bool:
    return isinstance(block.resample, Resample)


@pytest.mark.parametrize("name", DESIGNS)
def test_weights_start_as_published(name: str) -> None:
    """As Glorot & Bengio's in each layer of the papers, of which several can be one here; as
    PyTorch's default in ADM."""
    net = network((3, 16, 16), network=name, channels=64, classes=10)
    assert isinstance(net, PublishedUNet)
    _, block, *_ = net.down
    (attending,) = {m for m in net.middle.modules() if isinstance(m, Attention)}
    keys = attending.queries_keys_values.weight
    projection = net.signals.layers[4].weight
    if name == "adm":
        spread = {block.before[1].weight: 9 * 64, keys: 128, projection: 256}
        expected = {weight: (1 / (3 * into)) ** 0.5 for weight, into in spread.items()}
    else:
        width = net.signals.widths[0]
        gain = 1.0 if name == "ddpm" else 0.1**0.5
        expected = {
            block.before[1].weight: (2 / (9 * 64 + 9 * 64)) ** 0.5,
            keys: gain * (2 / (128 + 128)) ** 0.5,
            projection[:width]: (2 / (256 + width)) ** 0.5,
        }
        assert not block.before[1].bias.any()
    for weight, deviation in expected.items():
        assert weight.std().item() == pytest.approx(deviation, rel=0.05)
    assert not block.after[1].weight.any()
    assert not attending.out.weight.any()
    rows = net.signals.labels.weight
    assert rows.shape[0] == 11
    assert bool(rows[-1].any()) == (name in ("ddpm", "adm"))
