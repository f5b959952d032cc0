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
from genbench.testing.source import Source, source_of
from genbench.testing.trial import PLAN, Trial, brisk
from genbench.training import loop


@dataclass(frozen=True)
class Case:
    """One training, as another process is told of it."""

    source: Source
    options: Mapping[str, Any]
    data: TensorSamples


class Together:
    """Trials that train on two processes, all of them when the first is asked for."""

    def __init__(self) -> None:
        self._needs: dict[Trial, Sequence[Check]] = {}

    def add(self, trial: Trial, *needs: Check) -> None:
        """``needs``: what must be kept, or the processes might wait for each other for ever."""
        self._needs[trial] = needs

    def fault(self, trial: Trial) -> str | None:
        """What keeps ``trial`` from training on two processes, or ``None``. Raises ``SkipTest``
        where they could not find its factory."""
        return self._faults[trial]

    @cached_property
    def _faults(self) -> dict[Trial, str | None]:
        ready = [
            trial
            for trial, needs in self._needs.items()
            if all(need.result.status == PASSED for need in needs)
        ]
        cases = [_case(trial) for trial in ready]
        fault = train_on_two(cases)
        if fault is None or len(cases) == 1:
            return dict.fromkeys(ready, fault)
        return {trial: train_on_two([case]) for trial, case in zip(ready, cases, strict=True)}


def _case(trial: Trial) -> Case:
    source = source_of(trial.factory)
    if source is None:
        raise SkipTest("another process cannot find the factory: write it as a function in a file")
    return Case(source, trial.options, trial.data)


def train_on_two(cases: Sequence[Case]) -> str | None:
    with TemporaryDirectory() as folder:
        hardware = Hardware(Path(folder), "cpu", devices=2)
        try:
            on_ranks(hardware, "32-true", _train, cases, Path(folder))
        except GenbenchError as error:
            return str(error)
    return None


def _train(ranks: Ranks, cases: Sequence[Case], folder: Path, report: ProgressCallback) -> None:
    """On each rank: train every case. The loop raises where the ranks' weights part."""
    for number, case in enumerate(cases):
        build = partial(registry.call, case.source.load(), case.data.spec, **case.options)
        with brisk():
            ended = loop.train(ranks.fabric, build, case.data, PLAN, folder / str(number), report)
        if ended.status != "done":
            raise GenbenchError(f"it diverges at step {ended.first_nonfinite_step}")
