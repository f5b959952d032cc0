"""One logger in a separate thread: the training does not wait for it, and survives its failure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any, TypeAlias

from genbench.api.errors import one_line

if TYPE_CHECKING:
    from lightning_fabric.loggers.logger import Logger

TIMEOUT = 30.0
"""Seconds that a tool has at the end of a stage to take what is left; then it is given up."""

LogPoint: TypeAlias = tuple[Mapping[str, float], int]
"""Values by key, and the number of examples seen."""


@dataclass(frozen=True)
class LoggedRun:
    """A training, as loggers describe it."""

    project: str
    """The suite's name."""
    name: str
    """The name of its run folder."""
    folder: Path
    """The folder for files of loggers."""
    parameters: Mapping[str, Any]
    """Its hyperparameters, flat."""
    steps: int
    batch: int


class Tool:
    """A logger by its name. Once it has a ``fault``, it receives nothing more."""

    def __init__(self, name: str, run: LoggedRun) -> None:
        self.name = name
        self.fault: str | None = None
        self._run = run
        self._queue: SimpleQueue[Sequence[LogPoint] | str] = SimpleQueue()
        self._given = self._taken = 0
        self._turn = Condition()
        self._thread: Thread | None = None
        # Here, before a training's clock runs: some take seconds, and a broken one may never end.
        loading = Thread(target=self._load, name=f"import of {name}", daemon=True)
        loading.start()
        loading.join(TIMEOUT)
        self._require(not loading.is_alive())

    def give(self, points: Sequence[LogPoint]) -> None:
        """Hand over points, in the order of their steps. The first call opens the tool, even
        without points."""
        if self.fault is not None:
            return
        if self._thread is None:
            self._thread = Thread(target=self._work, name=f"logger {self.name}", daemon=True)
            self._thread.start()
        self._given += 1
        self._queue.put(points)

    def wait(self) -> None:
        """Wait until it has taken everything, or ``TIMEOUT`` is over."""
        with self._turn:
            ready = self._turn.wait_for(
                lambda: self.fault is not None or self._taken == self._given, TIMEOUT
            )
        self._require(ready)

    def close(self, status: str) -> None:
        """End the run as ``success`` or ``failed``."""
        if self._thread is not None and self.fault is None:
            self._queue.put(status)
            self._thread.join(TIMEOUT)
            self._require(not self._thread.is_alive())

    def _require(self, ready: bool) -> None:
        if not ready:
            self.fault = f"no answer for {TIMEOUT:g} s"

    def _load(self) -> None:
        try:
            self._start = import_module(f"genbench.loggers.{self.name}").start
        except BaseException as error:
            self.fault = one_line(error)

    def _work(self) -> None:
        """Runs in the thread. Values that the tool already has are not logged again: a training
        that resumes from its last checkpoint repeats them."""
        try:
            logger, held = self._start(self._run)
            while not isinstance(given := self._queue.get(), str):
                for metrics, step in given:
                    _log(logger, held, metrics, step)
                logger.save()
                with self._turn:
                    self._taken += 1
                    self._turn.notify_all()
            logger.finalize(given)
        except BaseException as error:
            with self._turn:
                self.fault = one_line(error)
                self._turn.notify_all()


def _log(logger: Logger, held: dict[str, int], metrics: Mapping[str, float], step: int) -> None:
    fresh = {key: value for key, value in metrics.items() if step > held.get(key, -1)}
    if fresh:
        logger.log_metrics(fresh, step)
        held.update(dict.fromkeys(fresh, step))
