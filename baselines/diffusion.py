"""The forward process and the training loss, once for every diffusion model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, TypeAlias

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from baselines.conditioning import UNCONDITIONAL, Conditioning
from baselines.denoisers import NetworkDenoiser
from baselines.likelihood import Trace, bits_per_dim
from baselines.optimizers import OptimizerConfig
from baselines.predictions import EPSILON, Prediction, Weighting
from baselines.samplers import Sampler, SamplerName, Solver, path
from baselines.schedules import Schedule, on
from genbench.api import Batch, Condition, Optimization, PlayerStep, Progress, SampleSpec, Texts
from genbench.api.errors import UsageError

State: TypeAlias = tuple[Tensor, Tensor | None]
"""x_t ``(B, *shape)`` and t ``()``; ``None`` of a finished sample."""


class DiffusionBase(nn.Module):
    """What learns from noised samples: a network, a noise schedule, what it is
    conditioned on.

    A subclass adds ``losses``; ``path(noise, condition, *, …options)``, the states that sampling
    with these options passes through, first the noise, last the sample, where ``condition`` is
    what ``conditioning.read`` gives; and ``sample = last_of(path)``.
    """

    path: Callable[..., Iterator[State]]

    def __init__(
        self,
        spec: SampleSpec,
        schedule: Schedule,
        network: nn.Module,
        learning: OptimizerConfig,
        conditioning: Conditioning = UNCONDITIONAL,
    ) -> None:
        super().__init__()
        self.players = nn.ModuleDict({"denoiser": network})
        self.spec = spec
        self.schedule = schedule
        self.learning = learning
        self.conditioning = conditioning
        self.conditions = conditioning.conditions
        self.texts = conditioning.texts

    @property
    def noise_shape(self) -> tuple[int, ...]:
        return self.spec.shape

    def optimization(self, player: str) -> Optimization:
        return self.learning.optimization()

    @torch.no_grad()
    def trajectory(
        self, noise: Tensor, condition: Condition, texts: Texts | None = None, **options: Any
    ) -> Iterator[Tensor]:
        """What ``sample`` with the same options passes through, ``(B, *shape)`` each, at unit
        scale; the last is the sample."""
        for x_t, t in self.path(noise, self.conditioning.read(condition, texts), **options):
            yield x_t if t is None else self._at_unit_scale(x_t, t)

    @torch.no_grad()
    def diffused(self, x_0: Tensor, noise: Tensor, fraction: float) -> Tensor:
        """x_0 ``(B, *shape)`` after ``fraction``, in [0, 1], of the way to noise, at unit scale."""
        t = self.schedule.at(torch.tensor(fraction, dtype=torch.float64))
        return self._at_unit_scale(diffuse(self.schedule, x_0, t, noise), t)

    def _at_unit_scale(self, x_t: Tensor, t: Tensor) -> Tensor:
        alpha_t, sigma_t = self.schedule(t)
        return x_t / (alpha_t**2 + sigma_t**2).sqrt()


class Diffusion(DiffusionBase):
    """A network with a parameterisation, which makes it a denoiser, and a weighting of its errors.

    A subclass adds ``path`` and ``sample``. A ``pretrained`` network came with its weights.
    """

    def __init__(
        self,
        spec: SampleSpec,
        schedule: Schedule,
        network: nn.Module,
        learning: OptimizerConfig,
        conditioning: Conditioning = UNCONDITIONAL,
        *,
        prediction: Prediction = EPSILON,
        weighting: Weighting | None = None,
        pretrained: bool = False,
    ) -> None:
        super().__init__(spec, schedule, network, learning, conditioning)
        self.prediction = prediction
        self.weighting = weighting
        self.pretrained = pretrained

    def denoiser(
        self, condition: Condition, *, guidance: float = 1.0, clip: bool = False
    ) -> NetworkDenoiser:
        """E[x_0 | x_t, condition] as the network has learned it.

        Raises:
            UsageError: ``guidance`` of an unconditional model.
        """
        self.conditioning.check_guidance(guidance)
        return NetworkDenoiser(
            self.players["denoiser"],
            self.schedule,
            self.prediction,
            self.conditioning.of(condition),
            guidance,
            null=self.conditioning.null,
            clip=clip,
        )

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        """One turn: ``loss`` at random times, with some of the conditions left out."""
        x_0 = batch.data
        t = self.schedule.draw(len(x_0))
        noise = torch.randn_like(x_0)
        x_t = diffuse(self.schedule, x_0, t, noise)
        given = self.conditioning.read(batch.condition, batch.texts)
        output = self.denoiser(self.conditioning.dropped(given)).predict(x_t, t)
        yield PlayerStep("denoiser", self.loss(output, x_0, x_t, noise, t))

    def loss(self, output: Tensor, x_0: Tensor, x_t: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Mean of w(t) (F* - F)² over samples and their numbers; w = 1 without a weighting.

        ``output`` is F at x_t, t ``(B,)``. Ho et al. 2020, eq. 14, where F* is ε.
        """
        error = (self.prediction.target(self.schedule, x_0, noise, t) - output).square()
        if self.weighting is not None:
            error = on(error, self.weighting(self.prediction, self.schedule, t)) * error
        return error.mean()


class ContinuousDiffusion(Diffusion):
    """A diffusion in continuous time, whose probability-flow ODE gives it a likelihood."""

    def bits_per_dim(
        self,
        batch: Batch,
        *,
        trace: Trace = "rademacher",
        probes: PositiveInt = 1,
        tolerance: PositiveFloat = 1e-5,
    ) -> Tensor:
        """Negative log likelihood of stored data in bits a dimension: ``(B,)``.

        Args:
            batch: In the stored view, with labels or texts if the model is conditional.
            trace: How the ODE's divergence is taken; see ``baselines.likelihood``.
            probes: Of a sample, for the estimators.
            tolerance: Absolute and relative, of the solver.
        """
        return bits_per_dim(
            self.denoiser(self.conditioning.read(batch.condition, batch.texts)),
            self.schedule,
            batch.data,
            self.spec,
            end=self.schedule.t_min,
            trace=trace,
            probes=probes,
            rtol=tolerance,
            atol=tolerance,
        )


def diffuse(schedule: Schedule, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """x_t = alpha_t x_0 + sigma_t ε: the forward process in one leap (Ho et al. 2020, eq. 4)."""
    alpha_t, sigma_t = schedule(t)
    return on(x_0, alpha_t) * x_0 + on(x_0, sigma_t) * noise


def states(sampler: Sampler | Solver, x: Tensor, times: Tensor) -> Iterator[State]:
    """x with its time, at each of ``times``, from x at ``times[0]``."""
    yield x, times[0]
    yield from zip(path(sampler, x, times), times[1:], strict=True)


def require_sampler(chosen: SamplerName, owner: str, **given: bool) -> None:
    """Raises ``UsageError`` if an option is given that belongs to another sampler."""
    for name in given:
        if given[name] and chosen != owner:
            raise UsageError(f"{name} belongs to sampler {owner!r}, not to {chosen!r}")


def last_of(states: Callable[..., Iterator[State]]) -> Callable[..., Tensor]:
    """``sample`` of a ``path``, with its options and docstring: the last state's x. Of a model that
    reads words, ``sample`` takes these after the condition."""

    @wraps(states, assigned=("__module__", "__doc__"))
    @torch.no_grad()
    def sample(
        model: DiffusionBase,
        noise: Tensor,
        condition: Condition,
        texts: Texts | None = None,
        /,
        **options: Any,
    ) -> Tensor:
        x = noise
        for state in states(model, noise, model.conditioning.read(condition, texts), **options):
            x, _ = state
        return x

    return sample
