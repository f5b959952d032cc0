"""What is logged of a training, and how often.

Along training: the means over equal windows of steps, at most ``POINTS`` of them. A training of a
million steps is then as quick to look at as one of a thousand, and no outlier is passed over, as it
is where every hundredth value is logged. The windows follow from the budget alone: a resumed
training comes by the same ones. They are handed over at most every ``SECONDS``, to threads.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, takewhile
from pathlib import Path
from types import TracebackType
from typing import Any

from genbench.api import ProgressCallback, ProgressEvent
from genbench.loggers.tool import LoggedRun, LogPoint, Tool

POINTS = 500
SECONDS = 5.0

RATE = "train/examples_per_second"
"""Measured between two deliveries, and logged with the last point of each."""


class Log:
    """The loggers of one training. It does nothing if there are none, as on every rank but the
    first.

    The keys are ``train/PLAYER/NAME`` of what the history holds, ``RATE``, and those of ``add``;
    the step is the examples seen.
    """

    def __init__(self, names: Sequence[str], run: LoggedRun, report: ProgressCallback) -> None:
        self.failed = False
        """Whether the run is marked as failed if no exception ends it."""
        self._run, self._report = run, report
        self._tools = [Tool(name, run) for name in names]
        self._window = max(1, math.ceil(run.steps / POINTS))
        self._read = 0
        self._due = -math.inf if names else math.inf
        self._rated: tuple[int, float] | None = None
        self._report_faults()

    @property
    def waits(self) -> bool:
        """Whether there are loggers, and no history has been logged yet."""
        return bool(self._tools) and self._read == 0

    def follow(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Called after every step, with all rows so far: see ``genbench.training.history``."""
        now = time.perf_counter()
        if now < self._due or not history:
            return
        self._due = now + SECONDS
        done = history[-1]["step"] + 1
        self._give(self._points(history, done - done % self._window, now))

    def end(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Called when the training is over. Returns when the tools have received all of it."""
        if self._tools and history:
            self._give(self._points(history, history[-1]["step"] + 1, time.perf_counter()))
            self.wait()

    def add(self, where: Iterable[str], values: Mapping[str, float | None], examples: int) -> None:
        """Log scores or other values; a missing one is logged as NaN."""
        if self._tools:
            told = {key(*where, n): math.nan if v is None else v for n, v in values.items()}
            self._give([(told, examples)])

    def wait(self) -> None:
        """Wait until the tools have taken everything. A tool that does not is given up."""
        for tool in self._tools:
            tool.wait()
        self._report_faults()

    def _points(
        self, history: Sequence[Mapping[str, Any]], until: int, now: float
    ) -> list[LogPoint]:
        """The means over the windows before step ``until`` that were not logged yet."""
        fresh = list(takewhile(lambda row: row["step"] < until, history[self._read :]))
        self._read += len(fresh)
        points: list[tuple[dict[str, float], int]] = []
        for _, rows in groupby(fresh, lambda row: row["step"] // self._window):
            window = list(rows)
            points.append((_means(window), (window[-1]["step"] + 1) * self._run.batch))
        examples = (history[-1]["step"] + 1) * self._run.batch
        if points and self._rated is not None and examples > self._rated[0]:
            seconds = now - self._rated[1]
            if seconds > 0:
                points[-1][0][RATE] = (examples - self._rated[0]) / seconds
        if points or self._rated is None:
            self._rated = examples, now
        return list(points)

    def _give(self, points: Sequence[LogPoint]) -> None:
        for tool in self._tools:
            tool.give(points)
        self._report_faults()

    def _report_faults(self) -> None:
        for tool in self._tools:
            if tool.fault is not None:
                note = (
                    f"{tool.name}: {tool.fault}; nothing more of {self._run.name} is logged there"
                )
                self._report(ProgressEvent("train", 0, 1, note=note))
        self._tools = [tool for tool in self._tools if tool.fault is None]

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the run. After an interrupt it does not wait: the next call logs what is left."""
        if error is not None and not isinstance(error, Exception):
            return
        status = "failed" if self.failed or error is not None else "success"
        for tool in self._tools:
            tool.close(status)
        self._report_faults()


def key(*parts: str) -> str:
    """``parts`` joined by slashes, with only those characters that every tool accepts."""
    return re.sub(r"[^\w./-]+", "_", "/".join(parts), flags=re.ASCII)


def _means(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            if name not in ("step", "examples", "player"):
                values.setdefault(key("train", row["player"], name), []).append(value)
    return {name: sum(found) / len(found) for name, found in values.items()}


SILENT = Log((), LoggedRun("", "", Path(), {}, steps=0, batch=0), lambda event: None)
