"""What a model does, frame by frame: data dissolving into noise, and noise becoming data.

A model that offers neither of the two, as a GAN, is shown as a walk through its noise: what it
makes of the points between two draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genbench.api import GenerativeModel, Samples, SampleSpec
from genbench.api.errors import NonFiniteSamples, UsageError
from genbench.api.seeding import seed_all
from genbench.devices.layout import to_device
from genbench.registry import call
from genbench.sampling.blocks import (
    BLOCK,
    ConditionOfBlock,
    TextsOfBlock,
    padded,
    place,
    words_of,
)

if TYPE_CHECKING:
    from lightning_fabric import Fabric

VERSION = 2
"""Raised whenever the same weights, options and seed would give other frames."""

FORWARD, REVERSE, WALK = "forward", "reverse", "walk"


@dataclass(frozen=True)
class Trajectory:
    """The frames of some samples."""

    kind: str
    """``forward``, ``reverse`` or ``walk``."""
    frames: Tensor
    """``(F, n, *shape)`` in the stored view, on the CPU."""


@torch.no_grad()
def forward(
    fabric: Fabric, model: GenerativeModel, samples: Samples, *, count: int, frames: int, seed: int
) -> Trajectory:
    """The first ``count`` of ``samples`` on their way to noise, in equal fractions of it.

    Raises ``UsageError`` where the model offers no forward process.
    """
    diffused: Any = getattr(model, "diffused", None)
    if diffused is None:
        raise UsageError("the model has no forward process to show: see show reverse")
    to_device(model, fabric.device)
    batch = samples.take(torch.arange(min(count, len(samples)))).to(fabric.device)
    x_0 = samples.spec.encode(batch.data)
    seed_all(seed, "forward")
    noise = torch.randn(x_0.shape).to(fabric.device)
    states = [diffused(x_0, noise, step / (frames - 1)) for step in range(frames)]
    return Trajectory(FORWARD, _stored(samples.spec, states))


@torch.no_grad()
def reverse(
    fabric: Fabric,
    model: GenerativeModel,
    spec: SampleSpec,
    *,
    count: int,
    frames: int,
    seed: int,
    options: Mapping[str, Any],
    given: ConditionOfBlock,
    texts: TextsOfBlock = lambda block: {},
) -> Trajectory:
    """The first ``count`` samples (at most 64) as they come about, at most ``frames`` of the states
    that the sampler passes through, evenly spaced: the last are the samples that ``sampling.draw``
    gives. Of a model without a trajectory, each sample's walk to the next one.

    Raises ``NonFiniteSamples``, and ``UsageError`` as ``sampling.draw`` does.
    """
    place(fabric, model)
    asked = given(0)
    condition = {name: value.to(fabric.device) for name, value in asked.items()}
    words = words_of(model, texts, 0)
    seed_all(seed, "sample", 0)
    noise = torch.randn(BLOCK, *model.noise_shape).to(fabric.device)
    trajectory: Any = getattr(model, "trajectory", None)
    with fabric.autocast():
        if trajectory is not None:
            passed = [
                padded(spec, _stored(spec, [x])[0], asked)
                for x in call(trajectory, noise, condition, *words, **options)
            ]
            last = len(passed) - 1
            number = min(frames, len(passed))
            chosen = [round(last * step / max(1, number - 1)) for step in range(number)]
            return Trajectory(REVERSE, torch.stack([passed[index][:count] for index in chosen]))
        condition = {name: value[:count] for name, value in condition.items()}
        words = tuple({name: said[:count] for name, said in known.items()} for known in words)
        between = _between(noise[:count], frames)
        walk = [call(model.sample, z, condition, *words, **options) for z in between]
    asked = {name: value[:count] for name, value in asked.items()}
    states = [padded(spec, state, asked) for state in _stored(spec, walk)]
    return Trajectory(WALK, torch.stack(states))


def _between(noise: Tensor, frames: int) -> Iterator[Tensor]:
    """From each row of ``(n, *shape)`` to the next, the last to the first: the direction along the
    great circle, the length evenly, so that every point is as long as normal noise is (White 2016,
    section 2.1)."""
    length = noise.flatten(1).norm(dim=1, keepdim=True)
    start = noise.flatten(1) / length
    end = start.roll(-1, 0)
    angle = (start * end).sum(1, keepdim=True).clamp(-1, 1).acos().clamp_min(1e-6)
    for step in range(frames):
        share = step / frames  # the last frame leads to the first of the next row
        direction = ((1 - share) * angle).sin() * start + (share * angle).sin() * end
        row = length.lerp(length.roll(-1, 0), share) * direction / angle.sin()
        yield row.view_as(noise)


def _stored(spec: SampleSpec, states: list[Tensor]) -> Tensor:
    x = torch.stack(states).float()
    if not x.isfinite().all():
        raise NonFiniteSamples("the sampler passes through values that are not finite")
    return spec.decode(x).cpu()
