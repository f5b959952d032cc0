"""Models that each break one promise, and a sound one to compare with.

A broken one takes from the sound one everything but its fault.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from genbench import registry
from genbench.api import Batch, Condition, Optimization, PlayerStep, Progress, SampleSpec
from genbench.api.errors import UsageError


class Network(nn.Module):
    """x ↦ x A + b, flattened; the second layer is there to be called behind its back."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape
        self.layer = nn.Linear(torch.Size(shape).numel(), torch.Size(shape).numel())

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(1)).unflatten(1, self.shape)


class Sound(nn.Module):
    """Two players: a generator that learns the data's mean, and a critic that learns to undo it."""

    players: nn.ModuleDict

    def __init__(self, spec: SampleSpec) -> None:
        super().__init__()
        self.players = nn.ModuleDict(
            {name: Network(spec.shape) for name in ("generator", "critic")}
        )
        self.noise_shape = spec.shape
        self.register_buffer("seen", torch.zeros(()))

    def optimization(self, player: str) -> Optimization:
        return Optimization(partial(torch.optim.Adam, lr=1e-3))

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        self.seen += 1
        x = batch.data
        noise = torch.randn_like(x)
        moved = self.players["generator"](noise)
        yield PlayerStep("generator", (moved.mean(0) - x.mean(0)).square().mean())
        if progress.step % 4 == 0:
            yield PlayerStep(
                "critic", (self.players["critic"](moved.detach()) - noise).square().mean()
            )

    def sample(self, noise: Tensor, condition: Condition, *, scale: float = 1.0) -> Tensor:
        moved: Tensor = self.players["generator"](scale * noise)
        return moved


class NanLoss(Sound):
    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        for turn in super().losses(batch, progress):
            yield PlayerStep(turn.player, turn.loss / (progress.step != 5))


class NoGradient(Sound):
    """The critic's input was to carry the graph, and so was its output."""

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        for turn in super().losses(batch, progress):
            loss = turn.loss * 0 if turn.player == "critic" else turn.loss
            yield PlayerStep(turn.player, loss)


class NeverMoves(Sound):
    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        yield next(super().losses(batch, progress))


class LateRefusal(Sound):
    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        raise UsageError("it needs labels")


class Standing(Sound):
    def optimization(self, player: str) -> Optimization:
        rate = 0.0 if player == "critic" else 1e-3
        return Optimization(partial(torch.optim.SGD, lr=rate))


class Outside(Sound):
    """Trains a scale beside ``players`` by itself."""

    def __init__(self, spec: SampleSpec) -> None:
        super().__init__(spec)
        self.extra = nn.Parameter(torch.ones(()))

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        (gradient,) = torch.autograd.grad((self.extra - 2).square(), self.extra)
        with torch.no_grad():
            self.extra -= 0.1 * gradient
        yield from super().losses(batch, progress)


class Greedy(Sound):
    """One optimiser for both players."""

    def optimization(self, player: str) -> Optimization:
        return Optimization(lambda _: torch.optim.Adam(self.players.parameters()))


class Twice(Sound):
    """Two optimisers of which each moves everything."""

    def optimization(self, player: str) -> Optimization:
        def both(named: Iterator[tuple[str, nn.Parameter]]) -> list[torch.optim.Optimizer]:
            parameters = [parameter for _, parameter in named]
            return [torch.optim.Adam(parameters), torch.optim.SGD(parameters)]

        return Optimization(both)


class Shared(Sound):
    def __init__(self, spec: SampleSpec) -> None:
        super().__init__(spec)
        self.players["critic"].layer = self.players["generator"].layer


class Negative(Sound):
    """A schedule that runs past its end."""

    def optimization(self, player: str) -> Optimization:
        return Optimization(torch.optim.Adam, lambda progress: 0.99 - progress.fraction)


class BehindItsBack(Sound):
    """Calls a submodule, whose gradients no wrapper averages."""

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        yield from super().losses(batch, progress)
        out = self.players["critic"].layer(batch.data.flatten(1))
        yield PlayerStep("critic", (out - 1).square().mean())


class Forgetful(Sound):
    """A running mean in a plain attribute, which no checkpoint holds."""

    def __init__(self, spec: SampleSpec) -> None:
        super().__init__(spec)
        self.running = 0.0

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        for turn in super().losses(batch, progress):
            self.running = 0.9 * self.running + 0.1 * float(turn.loss.detach())
            yield PlayerStep(turn.player, turn.loss * (1 + self.running))


class Unnormalised(Sound):
    """What the samples are to be scaled by is found in training, and stays there."""

    def __init__(self, spec: SampleSpec) -> None:
        super().__init__(spec)
        self.largest = 1.0

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        if progress.step == 0:
            self.largest = 3.0
        yield from super().losses(batch, progress)

    def sample(self, noise: Tensor, condition: Condition) -> Tensor:
        return super().sample(noise, condition) / self.largest


class OwnGenerator(Sound):
    """Randomness that the seed does not reach."""

    def __init__(self, spec: SampleSpec) -> None:
        super().__init__(spec)
        self.stream = torch.Generator().manual_seed(int.from_bytes(os.urandom(4), "big"))

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        noise = 0.1 * torch.randn(batch.data.shape, generator=self.stream)
        yield from super().losses(Batch(batch.data + noise), progress)


class Reseeds(Sound):
    def __init__(self, spec: SampleSpec) -> None:
        torch.manual_seed(0)
        super().__init__(spec)


class DataDecides(Sound):
    """Skips the critic on dark pictures."""

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        for turn in super().losses(batch, progress):
            if turn.player == "generator" or batch.data.mean() < 0:
                yield turn


class NoBfloat16(Sound):
    """A network that takes a way through numpy, which does not know the type."""

    def __init__(self, spec: SampleSpec) -> None:
        super().__init__(spec)
        self.players["critic"].register_forward_hook(
            lambda module, inputs, out: out * float(out.detach().numpy().std())
        )


class BatchStatistics(Sound):
    """A step as long as the mean norm over the batch."""

    def sample(self, noise: Tensor, condition: Condition) -> Tensor:
        moved = super().sample(noise, condition)
        return moved / moved.flatten(1).norm(dim=1).mean()


class Carries(Sound):
    """Each block begins where the one before has ended."""

    def __init__(self, spec: SampleSpec) -> None:
        super().__init__(spec)
        self.last: Tensor | float = 0.0

    def sample(self, noise: Tensor, condition: Condition) -> Tensor:
        moved = super().sample(noise, condition)
        samples = moved + self.last
        self.last = moved[-1] if len(noise) == 64 else 0.0
        return samples


class Counts(Sound):
    def sample(self, noise: Tensor, condition: Condition) -> Tensor:
        self.seen += len(noise)
        return super().sample(noise, condition)


class WrongShape(Sound):
    def sample(self, noise: Tensor, condition: Condition) -> Tensor:
        return super().sample(noise, condition).flatten(1)


class StoredLevels(Sound):
    """Samples in 0…255, as a file of pictures has them."""

    def sample(self, noise: Tensor, condition: Condition) -> Tensor:
        return super().sample(noise, condition).sigmoid() * 255


class NanSamples(Sound):
    def sample(self, noise: Tensor, condition: Condition) -> Tensor:
        return super().sample(noise, condition).log()


class Decoded(Sound):
    def sample(self, noise: Tensor, condition: Condition) -> Tensor:
        return super().sample(noise, condition).byte()


class LooseOption(Sound):
    """``steps`` is not keyword-only."""

    def sample(self, noise: Tensor, condition: Condition, steps: int = 3) -> Tensor:
        return super().sample(noise, condition)


def sound(spec: SampleSpec, *, depth: int = 1) -> nn.Module:
    """Keeps every promise."""
    return Sound(spec)


def behind_its_back(spec: SampleSpec) -> nn.Module:
    """A submodule is called in place of the player."""
    return BehindItsBack(spec)


def wrong_default(spec: SampleSpec, *, depth: int = 1.5) -> nn.Module:  # type: ignore[assignment]
    """Its only option has an impossible default."""
    return Sound(spec)


def two_dimensional(spec: SampleSpec) -> nn.Module:
    """Fits pictures, and falls over points."""
    _, _, _ = spec.shape
    return Sound(spec)


def picky(spec: SampleSpec) -> nn.Module:
    """Fits nothing that is tried."""
    raise UsageError("it needs pictures of 32×32")


registry.models.add("sound", sound)
registry.models.add("behind-its-back", behind_its_back)
registry.models.add("picky", picky)
