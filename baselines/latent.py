"""Models in the latent space of a codec, whatever the model is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from baselines.spectrograms import SpectrogramCodec, SpectrogramOptions, spectrogram_codec
from genbench.api import (
    Batch,
    Condition,
    Optimization,
    PlayerStep,
    Progress,
    SampleSpec,
    Texts,
)
from genbench.api.errors import UsageError

Model = TypeVar("Model")


class LatentModel(nn.Module):
    """A model of latents, as a model of what the codec decodes them to.

    Capabilities that speak of samples themselves, such as a likelihood, are not passed on.
    """

    def __init__(
        self, spec: SampleSpec, codec: SpectrogramCodec, make: Callable[[SampleSpec], Any]
    ) -> None:
        """``make`` builds the model of latents, which are real-valued, with the conditions of
        ``spec``."""
        super().__init__()
        self.codec = codec
        self.inner = make(replace(spec, shape=codec.latent_shape, levels=None))

    @property
    def players(self) -> nn.ModuleDict:
        players: nn.ModuleDict = self.inner.players
        return players

    @property
    def noise_shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self.inner.noise_shape
        return shape

    @property
    def conditions(self) -> frozenset[str]:
        names: frozenset[str] = self.inner.conditions
        return names

    @property
    def texts(self) -> frozenset[str]:
        names: frozenset[str] = getattr(self.inner, "texts", frozenset())
        return names

    @property
    def pretrained(self) -> bool:
        whole: bool = getattr(self.inner, "pretrained", False)
        return whole

    @property
    def eager_only(self) -> str:
        reason: str = getattr(self.inner, "eager_only", "")
        return reason

    def optimization(self, player: str) -> Optimization:
        chosen: Optimization = self.inner.optimization(player)
        return chosen

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        """Those of the model of latents."""
        with torch.no_grad():
            latents = self.codec.encode(batch.data)
        yield from self.inner.losses(replace(batch, data=latents), progress)

    @property
    def sample(self) -> Callable[..., Tensor]:
        """That of the model of latents, with its options, decoded."""
        inner: Callable[..., Tensor] = self.inner.sample

        @wraps(inner)
        def sample(*arguments: Any, **options: Any) -> Tensor:
            return self.codec.decode(inner(*arguments, **options))

        return sample


class LatentDiffusion(LatentModel):
    """The same with what is between noise and sample."""

    def trajectory(
        self, noise: Tensor, condition: Condition, texts: Texts | None = None, **options: Any
    ) -> Iterator[Tensor]:
        """What the latents pass through, each decoded."""
        for state in self.inner.trajectory(noise, condition, texts, **options):
            yield self.codec.decode(state)

    @torch.no_grad()
    def diffused(self, x_0: Tensor, noise: Tensor, fraction: float) -> Tensor:
        """x_0 with its latents after ``fraction`` of the way to noise."""
        return self.codec.decode(self.inner.diffused(self.codec.encode(x_0), noise, fraction))


@dataclass(frozen=True)
class CodecOptions(SpectrogramOptions):
    """Options of diffusion models: the latent space in which they work. Those of spectrograms
    belong to ``codec = "spectrogram"``."""

    codec: Literal["none", "spectrogram"] = "none"
    """``spectrogram``: sounds become spectrograms, on which the networks work as on pictures."""

    def model(
        self, spec: SampleSpec, make: Callable[[SampleSpec], Model]
    ) -> Model | LatentDiffusion:
        """What ``make`` builds for ``spec`` itself, or as a model of latents.

        Raises:
            UsageError: As ``spectrogram_codec``; options of a codec without one.
        """
        if self.codec == "spectrogram":
            return LatentDiffusion(spec, spectrogram_codec(spec, self), make)
        if self != CodecOptions():
            raise UsageError("window, hop, bands and inversion_steps need codec = 'spectrogram'")
        return make(spec)
