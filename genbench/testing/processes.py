"""A model on two processes. Starting them takes longer than the training, so that all its data sets
share one start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import SkipTest

from genbench import registry
from genbench.api import ProgressCallback, TensorSamples
from genbench.api.errors import GenbenchError
from genbench.devices.hardware import Hardware
from genbench.devices.launch import on_ranks
from genbench.devices.ranks import Ranks
from genbench.testing.checks import PASSED, Check
from genbench.testing.model_under_test import PLAN, ModelUnderTest, brisk
from genbench.testing.source import Source, source_of
from genbench.training import loop


@dataclass(frozen=True)
class TwoProcessCase:
    """One training, as another process is told of it."""

    source: Source
    options: Mapping[str, Any]
    data: TensorSamples


class TwoProcessTrainings:
    """Trials that train on two processes, all of them when the first is asked for."""

    def __init__(self) -> None:
        self._needs: dict[ModelUnderTest, Sequence[Check]] = {}

    def add(self, subject: ModelUnderTest, *needs: Check) -> None:
        """``needs``: what must be kept, or the processes might wait for each other for ever."""
        self._needs[subject] = needs

    def fault(self, subject: ModelUnderTest) -> str | None:
        """What keeps ``subject`` from training on two processes, or ``None``. Raises ``SkipTest``
        if they could not find its factory."""
        return self._faults[subject]

    @cached_property
    def _faults(self) -> dict[ModelUnderTest, str | None]:
        ready = [
            subject
            for subject, needs in self._needs.items()
            if all(need.result.status == PASSED for need in needs)
        ]
        cases = [_case(subject) for subject in ready]
        fault = train_on_two(cases)
        if fault is None or len(cases) == 1:
            return dict.fromkeys(ready, fault)
        return {subject: train_on_two([case]) for subject, case in zip(ready, cases, strict=True)}


def _case(subject: ModelUnderTest) -> TwoProcessCase:
    source = source_of(subject.factory)
    if source is None:
        raise SkipTest("another process cannot find the factory: write it as a function in a file")
    return TwoProcessCase(source, subject.options, subject.data)


def train_on_two(cases: Sequence[TwoProcessCase]) -> str | None:
    with TemporaryDirectory() as folder:
        hardware = Hardware(Path(folder), "cpu", devices=2)
        try:
            on_ranks(hardware, "32-true", _train, cases, Path(folder))
        except GenbenchError as error:
            return str(error)
    return None


def _train(
    ranks: Ranks, cases: Sequence[TwoProcessCase], folder: Path, report: ProgressCallback
) -> None:
    """On each rank: train every case. The loop raises where the ranks' weights part."""
    for number, case in enumerate(cases):
        build = partial(registry.call, case.source.load(), case.data.spec, **case.options)
        with brisk():
            ended = loop.train(ranks.fabric, build, case.data, PLAN, folder / str(number), report)
        if ended.status != "done":
            raise GenbenchError(f"it diverges at step {ended.first_nonfinite_step}")
