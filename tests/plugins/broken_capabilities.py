"""Models that each break one promise of what they offer, and a sound one to compare with.

A broken one takes from the sound one everything but its fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import broken
import torch
from torch import Tensor, nn

from genbench.api import Batch, Condition, PlayerStep, Progress, SampleSpec, Texts


class Halves(nn.Module):
    """Sound: x ↦ 2 x, and back."""

    id, licence = "halves@1", "CC0-1.0"

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0), requires_grad=False)

    def encode(self, x: Tensor) -> Tensor:
        return x.flatten(1) * self.factor

    def decode(self, z: Tensor) -> Tensor:
        return z.unflatten(1, (1, 8, 8)) / self.factor


class Able(broken.Sound):
    """Offers everything; the class moves every sample."""

    conditions: ClassVar = {"label"}

    def __init__(self, spec: SampleSpec) -> None:
        super().__init__(spec)
        self.levels = spec.levels
        self.codec = Halves()

    def sample(self, noise: Tensor, condition: Condition, *, scale: float = 1.0) -> Tensor:
        shift = 0.1 * condition["label"].float().view(-1, 1, 1, 1)
        return super().sample(noise, condition, scale=scale) + shift

    def trajectory(self, noise: Tensor, condition: Condition, *, scale: float) -> Iterator[Tensor]:
        for share in (0.0, 0.5, 1.0):
            yield self.sample(noise, condition, scale=share * scale)

    def diffused(self, x_0: Tensor, noise: Tensor, fraction: float) -> Tensor:
        angle = torch.tensor(fraction * torch.pi / 2)
        return angle.cos() * x_0 + angle.sin() * noise

    def bits_per_dim(self, batch: Batch) -> Tensor:
        return torch.full((len(batch),), 3.0)


class BitsOfTheBatch(Able):
    """One number for all samples."""

    def bits_per_dim(self, batch: Batch) -> Tensor:
        return super().bits_per_dim(batch).mean()


class NanBits(Able):
    def bits_per_dim(self, batch: Batch) -> Tensor:
        return super().bits_per_dim(batch).log().neg().log()


class LogLikelihood(Able):
    """The sign is forgotten."""

    def bits_per_dim(self, batch: Batch) -> Tensor:
        return -super().bits_per_dim(batch)


class OtherEnd(Able):
    """Its trajectory ends one step early."""

    def trajectory(self, noise: Tensor, condition: Condition, *, scale: float) -> Iterator[Tensor]:
        *states, _ = super().trajectory(noise, condition, scale=scale)
        yield from states


class FlatTrajectory(Able):
    def trajectory(self, noise: Tensor, condition: Condition, *, scale: float) -> Iterator[Tensor]:
        for state in super().trajectory(noise, condition, scale=scale):
            yield state.flatten(1)


class NoTrajectory(Able):
    def trajectory(self, noise: Tensor, condition: Condition, *, scale: float) -> Iterator[Tensor]:
        return iter(())


class Backwards(Able):
    """Time runs from the noise to the data."""

    def diffused(self, x_0: Tensor, noise: Tensor, fraction: float) -> Tensor:
        return super().diffused(x_0, noise, 1 - fraction)


class Stops(Able):
    """Half of the data is left at the end."""

    def diffused(self, x_0: Tensor, noise: Tensor, fraction: float) -> Tensor:
        return super().diffused(x_0, noise, fraction / 2)


class OwnScale(Able):
    """At the scale of its process, not at unit scale."""

    def diffused(self, x_0: Tensor, noise: Tensor, fraction: float) -> Tensor:
        return x_0 + 80 * fraction * noise


class Anonymous(Able):
    def __init__(self, spec: SampleSpec) -> None:
        super().__init__(spec)
        self.codec.id = None


class Flattens(Able):
    """Decodes to rows."""

    def __init__(self, spec: SampleSpec) -> None:
        super().__init__(spec)
        self.codec.decode = lambda z: z / 2


class TrainedCodec(Able):
    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        self.codec.factor += 0.01
        yield from super().losses(batch, progress)


class Deaf(Able):
    def sample(self, noise: Tensor, condition: Condition, *, scale: float = 1.0) -> Tensor:
        ignored = {"label": torch.zeros(len(noise))}
        return super().sample(noise, ignored, scale=scale)


class Captioned(Able):
    """Obeys what few data have."""

    conditions: ClassVar = {"caption"}


class Reads(Able):
    """Sound: the length of the words moves every sample."""

    conditions: ClassVar = {"caption"}
    texts: ClassVar = {"caption"}

    def sample(  # type: ignore[override]
        self, noise: Tensor, condition: Condition, texts: Texts, *, scale: float = 1.0
    ) -> Tensor:
        lengths = torch.tensor([float(len(text)) for text in texts["caption"]])
        return super().sample(noise, {"label": lengths}, scale=scale)

    def trajectory(  # type: ignore[override]
        self, noise: Tensor, condition: Condition, texts: Texts, *, scale: float
    ) -> Iterator[Tensor]:
        for share in (0.0, 1.0):
            yield self.sample(noise, condition, texts, scale=share * scale)


class Illiterate(Reads):
    def sample(  # type: ignore[override]
        self, noise: Tensor, condition: Condition, texts: Texts, *, scale: float = 1.0
    ) -> Tensor:
        return super().sample(noise, condition, {"caption": [""] * len(noise)}, scale=scale)
