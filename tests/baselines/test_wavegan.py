"""WaveGAN and SpecGAN: the published networks, phase shuffle, and the game."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from baselines.networks.wavegan import PhaseShuffle, critic, generator, reduced
from genbench.api import Categorical, SampleSpec
from genbench.api.errors import UsageError
from genbench.registry import models

SOUND = SampleSpec("audio", (1, 2048), 1 << 16, {"label": Categorical(3)}, 8000.0)


def weights(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("shape", "maps", "kernel"),
    [
        ((1, 16_384), [(4096,), (1024,), (256,), (64,), (16,)], (25,)),
        ((1, 128, 128), [(64, 64), (32, 32), (16, 16), (8, 8), (4, 4)], (5, 5)),
    ],
)
def test_the_published_networks(
    shape: tuple[int, ...], maps: list[tuple[int, ...]], kernel: tuple[int, ...]
) -> None:
    """Donahue et al. 2019, tables 3 to 6, d = 64, of which each column is counted here."""
    d = 64
    widths = [d, 2 * d, 4 * d, 8 * d, 16 * d]
    convolutions = 25 * (1 * d + sum(2 * n * n for n in widths[:-1]))
    dense = 256 * d
    with torch.device("meta"):
        made = generator(shape, channels=d, latent=100, bounded=True, classes=0)
        judge = critic(shape, channels=d, classes=0, shuffle=2)
    assert weights(made) == 100 * dense + dense + convolutions + sum(widths[:-1]) + 1
    assert weights(judge) == convolutions + sum(widths) + dense + 1
    assert reduced(shape) == [shape[1:], *maps]
    kinds = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)
    layers = [m for m in (*made.modules(), *judge.modules()) if isinstance(m, kinds)]
    assert {layer.kernel_size for layer in layers} == {kernel}
    assert len(layers) == 10


@pytest.mark.parametrize("shape", [(1, 2048), (2, 512), (1, 32, 16)])
def test_what_goes_in_and_comes_out(shape: tuple[int, ...]) -> None:
    made = generator(shape, channels=4, latent=5, bounded=True, classes=3)
    judge = critic(shape, channels=4, classes=3, shuffle=2)
    labels = torch.tensor([0, 1, 2, 0])
    x = made(torch.randn(4, 5), labels)
    assert x.shape == (4, *shape)
    assert x.abs().max() <= 1
    logits, slopes = judge(x, x.flip(0), labels=labels, slopes=True)
    assert (logits.shape, slopes.shape) == ((2, 4), (4,))


def test_phase_shuffle_moves_each_sample_and_reflects() -> None:
    torch.manual_seed(0)
    x = torch.arange(10.0).repeat(200, 3, 1) + 100 * torch.arange(3)[None, :, None]
    moved = PhaseShuffle(2)(x)
    expected = {
        (2, 1, 0, 1, 2, 3, 4, 5, 6, 7),
        (1, 0, 1, 2, 3, 4, 5, 6, 7, 8),
        (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
        (1, 2, 3, 4, 5, 6, 7, 8, 9, 8),
        (2, 3, 4, 5, 6, 7, 8, 9, 8, 7),
    }
    assert {tuple(row) for row in moved[:, 0].int().tolist()} == expected
    for channel in (1, 2):  # all channels of a sample alike
        assert torch.equal(moved[:, channel], moved[:, 0] + 100 * channel)


@pytest.mark.parametrize(("shuffle", "count"), [(0, 0), (2, 3)])
def test_phase_shuffle_follows_each_layer_but_the_last(shuffle: int, count: int) -> None:
    judge = critic((1, 2048), channels=4, classes=0, shuffle=shuffle)  # four layers
    trunk = list(judge.trunk)
    assert sum(isinstance(layer, PhaseShuffle) for layer in trunk) == count
    assert not isinstance(trunk[-2], PhaseShuffle)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 30), "each side must be a multiple of 4, and 32 at least; the samples are 30"),
        ((1, 16), "each side must be a multiple of 4, and 32 at least; the samples are 16"),
        ((1, 8, 6), "each side must be a multiple of 2, and 8 at least; the samples are 8×6"),
        ((1, 8, 8, 8), "the networks of WaveGAN need one or two sides, not 3"),
    ],
)
def test_sides_that_cannot_be_reduced(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        reduced(shape)


@pytest.mark.parametrize("name", ["wavegan", "specgan"])
def test_pictures_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="sounds"):
        models.make(name, SampleSpec("image", (1, 32, 32)))


@pytest.mark.parametrize(
    ("name", "options"), [("wavegan", {}), ("specgan", {"hop": 32, "window": 64})]
)
def test_the_optimiser_is_that_of_the_paper(name: str, options: dict[str, Any]) -> None:
    model = models.make(name, SOUND, channels=4, **options)
    for player in ("critic", "generator"):
        (adam,) = model.optimization(player).optimizers(model.players[player])
        assert adam.defaults["betas"] == (0.5, 0.9)
    assert model.eager_only
