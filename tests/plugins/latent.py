"""A model in the latent space of a codec: squares of four pixels, averaged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv_transpose2d

from genbench import registry
from genbench.api import Batch, Condition, Optimization, PlayerStep, Progress, SampleSpec


class Squares(nn.Module):
    """Four pixels → their mean → four of that value."""

    licence = "CC0-1.0"

    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.id = "broken@1" if broken else "squares@1"
        self.register_buffer("hole", torch.tensor(torch.nan if broken else 0.0))
        self.four = nn.Parameter(torch.ones(1, 1, 2, 2), requires_grad=False)

    def encode(self, x: Tensor) -> Tensor:
        return avg_pool2d(x, 2) + self.hole

    def decode(self, z: Tensor) -> Tensor:
        return conv_transpose2d(z, self.four, stride=2)


class Shift(nn.Module):
    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


@dataclass(frozen=True)
class NoiseOptions:
    scale: float = 0.1
    offset: float = 0.0


class Latent(nn.Module):
    players: nn.ModuleDict

    def __init__(self, spec: SampleSpec, broken: bool, bits: float) -> None:
        super().__init__()
        channels, height, width = spec.shape
        self.noise_shape = (channels, height // 2, width // 2)
        self.players = nn.ModuleDict({"mover": Shift(self.noise_shape)})
        self.codec = Squares(broken)
        self.bits = bits

    def optimization(self, player: str) -> Optimization:
        return Optimization(partial(torch.optim.Adam, lr=0.05))

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        z = avg_pool2d(batch.data, 2)
        moved = self.players["mover"](torch.zeros_like(z))
        yield PlayerStep("mover", (moved.mean(0) - z.mean(0)).square().mean())

    def sample(
        self, noise: Tensor, condition: Condition, *, noise_options: NoiseOptions = NoiseOptions()
    ) -> Tensor:
        z = noise_options.scale * noise + noise_options.offset
        return self.codec.decode(self.players["mover"](z))

    def trajectory(
        self, noise: Tensor, condition: Condition, *, noise_options: NoiseOptions
    ) -> Iterator[Tensor]:
        for share in (0.0, 1.0):
            part = NoiseOptions(share * noise_options.scale, noise_options.offset)
            yield self.sample(noise, condition, noise_options=part)

    def bits_per_dim(self, batch: Batch) -> Tensor:
        return torch.full((len(batch),), self.bits)


def latent(spec: SampleSpec, *, broken: bool = False, bits: str = "1.0") -> Latent:
    """Learns the mean of the latents."""
    return Latent(spec, broken, float(bits))


registry.models.add("latent", latent)
