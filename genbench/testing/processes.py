"""A model on two processes. Starting them takes longer than the training, so that all its data sets
share one start."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
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
from genbench.training import loop


@dataclass(frozen=True)
class FactoryLocation:
    """Where another process finds a function: its module, the module's file, its name there."""

    module: str
    file: str
    name: str

    def load(self) -> Callable[..., Any]:
        """The function. A module that Python does not find by its name, such as a script or a test,
        is run from its file."""
        function: Any = self._module()
        for part in self.name.split("."):
            function = getattr(function, part)
        return function  # type: ignore[no-any-return]

    def _module(self) -> ModuleType:
        try:
            module = importlib.import_module(self.module)
        except ImportError:
            module = None
        if module is not None and getattr(module, "__file__", None) == self.file:
            return module
        spec = importlib.util.spec_from_file_location(self.module, self.file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[self.module] = module
        spec.loader.exec_module(module)
        return module


def location_of(factory: Callable[..., Any]) -> FactoryLocation | None:
    """Where another process finds ``factory``. ``None`` if it cannot: a lambda, a closure, a
    ``partial``, a function typed at a prompt."""
    name = getattr(factory, "__qualname__", "<none>")
    home = getattr(factory, "__module__", "")
    file = getattr(sys.modules.get(home), "__file__", None)
    if "<" in name or file is None:
        return None
    return FactoryLocation(home, file, name)


@dataclass(frozen=True)
class TwoProcessCase:
    """One training, as plain data for another process."""

    factory: FactoryLocation
    options: Mapping[str, Any]
    data: TensorSamples


class TwoProcessTrainings:
    """Models that are trained on two processes, all at once when the first result is requested."""

    def __init__(self) -> None:
        self._needs: dict[ModelUnderTest, Sequence[Check]] = {}

    def add(self, subject: ModelUnderTest, *needs: Check) -> None:
        """``needs``: checks that must pass first; otherwise the processes might wait for each other
        for ever."""
        self._needs[subject] = needs

    def fault(self, subject: ModelUnderTest) -> str | None:
        """Why ``subject`` cannot be trained on two processes, or ``None``. Raises ``SkipTest`` if
        they cannot find its factory."""
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
    location = location_of(subject.factory)
    if location is None:
        raise SkipTest("another process cannot find the factory: write it as a function in a file")
    return TwoProcessCase(location, subject.options, subject.data)


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
    """On each rank: train every case. The loop raises if the ranks' weights differ."""
    for number, case in enumerate(cases):
        build = partial(registry.call, case.factory.load(), case.data.spec, **case.options)
        with brisk():
            ended = loop.train(ranks.fabric, build, case.data, PLAN, folder / str(number), report)
        if ended.status != "done":
            raise GenbenchError(f"it diverges at step {ended.first_nonfinite_step}")
