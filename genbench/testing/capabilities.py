"""What a model promises beyond training and sampling, and how it is tried where it is offered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from genbench import registry, sampling
from genbench.api import LENGTH, GenerativeModel
from genbench.api.seeding import generator, seed_all
from genbench.testing.checks import NotOffered
from genbench.testing.model_under_test import SEED, ModelUnderTest, differing

COUNT = 5
"""Samples that a capability is tried on."""
LIKELIHOODS = 8
"""Samples whose mean likelihood is looked at."""
TOLERANCE = 1e-4
"""Absolute and relative, of values that are to be equal."""
STARTS, ENDS = 0.1, 0.2
"""How far, relative to its length, a forward process may begin from the data, and end from the
noise: the smallest noise and the last of the data are not nothing."""


def unfit(subject: ModelUnderTest, model: GenerativeModel) -> str | None:
    """Why the data cannot train ``model``: what it obeys and the samples do not have."""
    missing = sorted(set(getattr(model, "conditions", ())) - subject.data.condition.keys())
    return f"it obeys {missing[0]!r}, which {subject.about} does not have" if missing else None


def wrong_bits(subject: ModelUnderTest) -> str | None:
    """Of whole levels a mean below 0 is no code length; of reals it is an ordinary density."""
    with _offered(subject, "bits_per_dim") as model:
        batch = subject.data.take(torch.arange(min(LIKELIHOODS, len(subject.data))))
        bits = model.bits_per_dim(batch)
    count = len(batch.data)
    if _shape(bits) != (count,):
        return f"it returns {_shape(bits)}, not {(count,)}"
    if not bits.isfinite().all():
        return "some are NaN or infinite"
    mean = float(bits.double().mean())
    if subject.spec.levels is not None and mean < 0:
        return f"they are {mean:.3g} on average, though no code of whole levels is shorter than 0"
    return None


def wrong_trajectory(subject: ModelUnderTest) -> str | None:
    with _offered(subject, "trajectory") as model:
        noise = _noise(model)
        condition = subject.condition(model, COUNT)
        options = registry.check_options("`sample`", model.sample, subject.sample)
        words = sampling.words_of(model, lambda block: subject.texts(COUNT), 0)
        states = [*registry.call(model.trajectory, noise.clone(), condition, *words, **options)]
    if not states:
        return "it passes through nothing"
    shape = (COUNT, *subject.spec.shape)
    for number, state in enumerate(states):
        if _shape(state) != shape:
            return f"state {number} has shape {_shape(state)}, not {shape}"
        if not state.isfinite().all():
            return f"state {number} is not finite"
    samples = subject.call(model, noise)
    if torch.allclose(states[-1].float(), samples.float(), atol=TOLERANCE, rtol=TOLERANCE):
        return None
    difference = (states[-1] - samples).abs().max()
    return f"its last state differs by up to {difference:.2g} from what `sample` makes of the noise"


def wrong_forward(subject: ModelUnderTest) -> str | None:
    with _offered(subject, "diffused") as model:
        x_0 = subject.spec.encode(subject.data.take(torch.arange(COUNT)).data)
        noise = torch.randn(x_0.shape, generator=generator(SEED, "noise"))
        states = [model.diffused(x_0, noise, fraction) for fraction in (0.0, 0.5, 1.0)]
    for state in states:
        if _shape(state) != tuple(x_0.shape):
            return f"it returns {_shape(state)}, not {tuple(x_0.shape)}"
        if not state.isfinite().all():
            return "some values are NaN or infinite"
    for fraction, state, end, near, what in (
        (0, states[0], x_0, STARTS, "the data"),
        (1, states[-1], noise, ENDS, "the noise"),
    ):
        distance = float((state - end).norm() / end.norm())
        if distance > near:
            return f"at fraction {fraction} it is {distance:.0%} of its length away from {what}"
    return None


def wrong_codec(subject: ModelUnderTest) -> str | None:
    with _offered(subject, "codec") as model:
        codec = model.codec
        for name in ("id", "licence"):
            said = getattr(codec, name, None)
            if not isinstance(said, str) or not said:
                return f"its `{name}` is {said!r}, not a name"
        x = subject.spec.encode(subject.data.take(torch.arange(COUNT)).data)
        latents = codec.encode(x)
        if not isinstance(latents, Tensor) or len(latents) != COUNT:
            return f"`encode` returns {_shape(latents)} for {COUNT} samples"
        decoded = codec.decode(latents)
    if _shape(decoded) != tuple(x.shape):
        return f"`decode` returns {_shape(decoded)}, not {tuple(x.shape)}"
    if not (latents.isfinite().all() and decoded.isfinite().all()):
        return "some values are NaN or infinite"
    trained: Any = subject.run.model
    moved = differing(codec_state(subject.seeded()), codec_state(trained))
    return moved and f"its {moved!r} moves in training, though the weights of a codec are fixed"


def codec_state(model: Any) -> dict[str, Tensor]:
    """The weights of the codec that ``model`` has."""
    state: dict[str, Tensor] = model.codec.state_dict()
    return state


def disobeyed(subject: ModelUnderTest) -> str | None:
    """The same noise with the conditions of other samples must give other samples. The length needs
    no obedience: the harness itself cuts each sample to the length that was asked for."""
    with _offered(subject, "conditions") as model:
        words = sorted(getattr(model, "texts", ()))
        names = sorted(model.conditions - {LENGTH} - set(words))
    noise, given = _noise(model), subject.condition(model, COUNT)
    usual = subject.call(model, noise, given=given)
    for name in names:
        values = subject.data.condition[name]
        other = next((row for row in values if not torch.equal(row, given[name][0])), None)
        if other is None:
            continue  # the data have no other
        changed = subject.call(model, noise, given={**given, name: other.expand_as(given[name])})
        if torch.equal(usual, changed):
            return f"another {name!r} gives the same samples"
    said = subject.texts(COUNT)
    for name in words:
        another = next((text for text in subject.data.texts[name] if text != said[name][0]), None)
        if another is None:
            continue
        changed = subject.call(model, noise, given=given, texts={**said, name: [another] * COUNT})
        if torch.equal(usual, changed):
            return f"another {name!r} gives the same samples"
    return None


@contextmanager
def _offered(subject: ModelUnderTest, name: str) -> Iterator[Any]:
    """The trained model, as the harness calls what it offers by ``name``. Raises ``NotOffered`` if
    it does not."""
    model = subject.load(subject.run.ema)
    if getattr(model, name, None) in (None, frozenset(), set(), ()):
        raise NotOffered(name)
    model.train(False)
    seed_all(SEED, "sample", 0)
    with torch.no_grad():
        yield model


def _noise(model: GenerativeModel) -> Tensor:
    return torch.randn(COUNT, *model.noise_shape, generator=generator(SEED, "noise"))


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(getattr(value, "shape", ()))
