"""A model on one kind of samples, and the short trainings that its checks look at."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from unittest import mock

import pandas as pd
import torch
from torch import Tensor, nn

from genbench import registry, sampling
from genbench.api import (
    Batch,
    Condition,
    GenerativeModel,
    PlayerStep,
    Progress,
    ProgressEvent,
    Samples,
    TensorSamples,
    Texts,
)
from genbench.api.errors import GenbenchError
from genbench.api.seeding import seed_all
from genbench.devices.hardware import Hardware
from genbench.devices.layout import to_device
from genbench.devices.ranks import Ranks
from genbench.suite import Precision
from genbench.training import checkpoint, loop

if TYPE_CHECKING:
    from lightning_fabric import Fabric

STEPS = 20
"""Enough for a penalty or a player whose turn comes every 16 steps."""
BATCH = 32
DATA = 256
"""Samples that a subject trains on."""
INTERRUPTED = (7, 13)
"""Where the training that is resumed is interrupted."""
SEED = 0

PLAN = loop.TrainingConfig(steps=STEPS, batch=BATCH, ema_halflife=2 * BATCH, snapshots=1, seed=SEED)


@dataclass(frozen=True)
class ShortTraining:
    """The result of one short training."""

    result: loop.TrainingResult
    history: pd.DataFrame
    initial: Mapping[str, Tensor]
    """The state before the first step."""
    raw: Mapping[str, Tensor]
    ema: Mapping[str, Tensor]
    model: GenerativeModel
    """The instance that was trained, its players unwrapped."""
    reseeded: bool
    """Whether its ``losses`` seeded torch's global generator."""

    def movers(self, step: int) -> list[str]:
        """The players that had a turn, in order."""
        return [*self.history.loc[self.history["step"] == step, "player"]]


class ModelUnderTest:
    """A model's factory and options, on some samples; trainings and samples are computed when first
    used, and kept."""

    def __init__(
        self,
        factory: Callable[..., GenerativeModel],
        options: Mapping[str, Any],
        sample: Mapping[str, Any],
        samples: Samples,
        about: str,
    ) -> None:
        self.factory, self.options, self.sample, self.about = factory, options, sample, about
        first = samples.take(torch.arange(min(DATA, len(samples))))
        self.data = TensorSamples(
            samples.spec, samples.id, first.data, first.condition, first.texts
        )
        self.spec = samples.spec

    def build(self) -> GenerativeModel:
        built: GenerativeModel = registry.call(self.factory, self.spec, **self.options)
        return built

    def seeded(self) -> GenerativeModel:
        """The model as every training with ``SEED`` begins."""
        seed_all(SEED, "init")
        return self.build()

    @cached_property
    def run(self) -> ShortTraining:
        """The undisturbed training, with which the others are compared."""
        return self.train()

    def train(
        self,
        *,
        seed: int = SEED,
        precision: Precision = "32-true",
        data: TensorSamples | None = None,
        interrupted: Sequence[int] = (),
    ) -> ShortTraining:
        """Train by the one loop, from its last checkpoint after each interruption."""
        watch = _Watch(self.build)
        plan = replace(PLAN, seed=seed)
        with TemporaryDirectory() as name:
            folder = Path(name)
            for stop in (*interrupted, None):
                watch.stop = stop
                with suppress(_Interruption), brisk(**EVERY_STEP if stop is not None else {}):
                    loop.train(
                        _fabric(precision), watch.build, data or self.data, plan, folder, quiet
                    )
            result = loop.read_result(folder)
            assert result is not None
            last = result.snapshots[-1]
            return ShortTraining(
                result,
                pd.read_csv(folder / "history.csv"),
                checkpoint.load_snapshot(folder, 0, "raw"),
                checkpoint.load_snapshot(folder, last, "raw"),
                checkpoint.load_snapshot(folder, last, "ema"),
                watch.trained(),
                watch.reseeded,
            )

    def load(self, state: Mapping[str, Tensor]) -> GenerativeModel:
        """A fresh model with these weights."""
        model = self.build()
        model.load_state_dict(state)
        to_device(model, torch.device("cpu"))
        return model

    def condition(self, model: GenerativeModel, count: int) -> Condition:
        """What ``model`` obeys, of as many samples of the subject's data, again and again."""
        rows = torch.arange(count) % len(self.data)
        return {name: self.data.condition[name][rows] for name in getattr(model, "conditions", ())}

    def texts(self, count: int) -> Texts:
        """The words of as many samples."""
        known = self.data.texts.items()
        return {name: [words[i % len(words)] for i in range(count)] for name, words in known}

    def draw(self, model: GenerativeModel, count: int) -> Tensor:
        """``(count, *shape)`` in the stored view, as every run draws them."""
        drawn = sampling.draw(
            _fabric("32-true"),
            model,
            self.spec,
            count=count,
            seed=SEED,
            options=self.sample,
            report=quiet,
            given=lambda block: self.condition(model, sampling.BLOCK),
            texts=lambda block: self.texts(sampling.BLOCK),
        )
        return drawn.data

    @torch.no_grad()
    def call(
        self,
        model: GenerativeModel,
        noise: Tensor,
        precision: Precision = "32-true",
        given: Condition | None = None,
        texts: Texts | None = None,
    ) -> Tensor:
        """What ``sample`` itself returns for noise ``(B, *noise_shape)``, from one fixed stream;
        ``given``: the conditions, and ``texts``: the words, by default those of the data."""
        model.train(False)
        seed_all(SEED, "sample", 0)
        with _fabric(precision).autocast():
            condition = self.condition(model, len(noise)) if given is None else given
            said = self.texts(len(noise)) if texts is None else texts
            words = sampling.words_of(model, lambda block: said, 0)
            x: Tensor = registry.call(model.sample, noise.clone(), condition, *words, **self.sample)
            return x


EVERY_STEP = {"CHECKPOINT_SECONDS": 0.0, "CHECKPOINT_SHARE": math.inf}
"""The loop's constants under which it writes a checkpoint after every step."""


def brisk(**constants: Any) -> AbstractContextManager[Any]:
    """The loop with these ``constants``, and FLOPs counted in the first step alone: counting takes
    most of a short training."""
    patch: AbstractContextManager[Any]
    patch = mock.patch.multiple(loop, COUNTED_STEPS=1, **constants)
    return patch


@cache
def _fabric(precision: Precision) -> Fabric:
    """Made once: it asks every installed package whether it has something to add."""
    return Ranks(Hardware(Path(), "cpu").fabric(precision)).fabric


class _Interruption(GenbenchError):
    pass


class _Watch:
    """Builds models whose ``losses`` can be interrupted, and sees whether it seeds anything."""

    def __init__(self, build: Callable[[], GenerativeModel]) -> None:
        self._build = build
        self._built: list[GenerativeModel] = []
        self.stop: int | None = None
        self.reseeded = False

    def trained(self) -> GenerativeModel:
        """Of the last training: the loop builds what it trains, then what holds the average."""
        model = self._built[-2]
        for name, wrapped in model.players.items():
            assert isinstance(wrapped.module, nn.Module)
            model.players[name] = wrapped.module
        return model

    def build(self) -> GenerativeModel:
        model = self._build()
        self._built.append(model)
        losses = model.losses

        def watched(batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
            if progress.step == self.stop:
                raise _Interruption
            seed = torch.initial_seed()
            yield from losses(batch, progress)
            self.reseeded |= torch.initial_seed() != seed

        vars(model)["losses"] = watched
        return model


def differing(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> str | None:
    """The first name under which the two are not the same, bit for bit."""
    if one.keys() != other.keys():
        return ", ".join(sorted(one.keys() ^ other.keys()))
    return next((name for name in one if not torch.equal(one[name], other[name])), None)


def quiet(event: ProgressEvent) -> None:
    """Reports nothing."""
