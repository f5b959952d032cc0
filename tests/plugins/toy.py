"""Small plugins for tests: a model that learns the mean, one that diverges, one that fails."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from genbench import registry
from genbench.api import Batch, Condition, Optimization, PlayerStep, Progress, SampleSpec
from genbench.api.errors import UsageError


class Shift(nn.Module):
    """x ↦ x + b: as a generator it learns where the data lies."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


class Toy(nn.Module):
    players: nn.ModuleDict

    def __init__(self, spec: SampleSpec, learning_rate: float, breaks_at: int | None) -> None:
        super().__init__()
        self.players = nn.ModuleDict({"mover": Shift(spec.shape)})
        self.noise_shape = spec.shape
        self.learning_rate = learning_rate
        self.breaks_at = breaks_at

    def optimization(self, player: str) -> Optimization:
        return Optimization(partial(torch.optim.Adam, lr=self.learning_rate))

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        noise = 0.1 * torch.randn_like(batch.data)
        moved = self.players["mover"](noise)
        loss = (moved.mean(0) - batch.data.mean(0)).square().mean()
        if progress.step == self.breaks_at:
            loss = loss * float("nan")
        yield PlayerStep("mover", loss, {"offset": moved.detach().mean()})

    def sample(self, noise: Tensor, condition: Condition, *, scale: float = 0.1) -> Tensor:
        moved: Tensor = self.players["mover"](scale * noise)
        return moved


def toy(spec: SampleSpec, *, learning_rate: float = 0.05, breaks_at: int | None = None) -> Toy:
    """A distribution of fixed width that learns the data's mean."""
    return Toy(spec, learning_rate, breaks_at)


def faulty(spec: SampleSpec, *, where: str = "train") -> Toy:
    """A model whose code fails in training or in sampling."""
    if where == "fit":
        raise UsageError(f"samples of shape {spec.shape} do not fit this model")

    class Faulty(Toy):
        def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
            if where == "die":
                os._exit(9)
            if where == "train":
                raise ZeroDivisionError("a bug in training")
            yield from super().losses(batch, progress)

        def sample(self, noise: Tensor, condition: Condition) -> Tensor:
            if where == "sample":
                raise ZeroDivisionError("a bug in sampling")
            return torch.full_like(noise, float("nan"))

    return Faulty(spec, 0.05, None)


def mortal(spec: SampleSpec, *, mark: str) -> Toy:
    """A model whose second process dies at step 15, unless the file ``mark`` is there."""

    class Mortal(Toy):
        def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
            second = os.environ.get("LOCAL_RANK") == "1"
            if second and progress.step == 15 and not Path(mark).exists():
                Path(mark).touch()
                os._exit(9)
            yield from super().losses(batch, progress)

    return Mortal(spec, 0.05, None)


def parting(spec: SampleSpec) -> Toy:
    """A model that goes behind its player's back, so that nothing averages its gradients."""

    class Parting(Toy):
        def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
            (bias,) = self.players["mover"].parameters()
            yield PlayerStep("mover", (bias - batch.data.mean(0)).square().mean())

    return Parting(spec, 0.05, None)


class Capable(Toy):
    """Offers whatever a model may offer."""

    conditions = frozenset({"label"})

    def __init__(self, spec: SampleSpec, pretrained: bool) -> None:
        super().__init__(spec, 0.05, None)
        self.pretrained = pretrained

    def sample(self, noise: Tensor, condition: Condition, *, scale: float = 0.1) -> Tensor:
        """Where its label says: class k at k/10."""
        at = condition["label"].to(noise.dtype).view(-1, *[1] * (noise.ndim - 1)) / 10
        return super().sample(noise, condition, scale=scale) + at

    def trajectory(self, noise: Tensor, condition: Condition, *, scale: float) -> Iterator[Tensor]:
        end = self.sample(noise, condition, scale=scale)
        for step in range(4):
            yield noise.lerp(end, step / 3)

    def diffused(self, x_0: Tensor, noise: Tensor, fraction: float) -> Tensor:
        return x_0.lerp(noise, fraction)

    def bits_per_dim(self, batch: Batch) -> Tensor:
        """As if the dequantised numbers were their own likelihood."""
        x = batch.data.double()
        return (x + torch.rand(x.shape)).flatten(1).mean(1)


def capable(spec: SampleSpec, *, pretrained: bool = False) -> Capable:
    """A model that offers whatever a model may offer."""
    return Capable(spec, pretrained)


registry.models.add("toy", toy)
registry.models.add("capable", capable)
registry.models.add("mortal", mortal)
registry.models.add("parting", parting)
registry.models.add("faulty", faulty)
