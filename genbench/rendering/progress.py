"""Progress on standard error: one bar for each job on a terminal, otherwise one line for each
finished job."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeAlias

from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from genbench.api import ENDINGS, ProgressCallback, ProgressEvent
from genbench.rendering.console import PipedConsole
from genbench.rendering.unseen import visible

Watched: TypeAlias = Callable[[int, ProgressEvent], None]
"""Called with the number of a job and each of its events; the last one's stage is one of
``ENDINGS``."""

console = PipedConsole(stderr=True)

BAR_DELAY = 2.0
"""Seconds after which a command without jobs shows a bar."""


class Observer(Protocol):
    """What a run tells while it runs."""

    def note(self, line: str) -> None:
        """A line for the reader."""
        ...

    def watch(self, labels: Sequence[str]) -> AbstractContextManager[Watched]:
        """Around the execution of jobs, which are called ``labels``."""
        ...


class Screen:
    """Standard error."""

    def note(self, line: str) -> None:
        try:
            console.print(visible(line), markup=False, highlight=False, soft_wrap=True)
        except BrokenPipeError:
            raise
        except OSError:
            pass  # standard error is full, for which no run is given up

    @contextmanager
    def watch(self, labels: Sequence[str]) -> Iterator[Watched]:
        if not console.is_terminal:
            yield self._lines(labels)
            return
        columns = (
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[note]}", markup=False),
            TimeRemainingColumn(compact=True),
        )
        with Progress(*columns, console=console) as progress:
            yield _Bars(progress, labels)

    def _lines(self, labels: Sequence[str]) -> Watched:
        start = time.perf_counter()

        def watched(number: int, event: ProgressEvent) -> None:
            if event.note is not None:
                self.note(event.note)
            elif event.stage in ENDINGS:
                seconds = time.perf_counter() - start
                self.note(f"{seconds:6.1f} s  {labels[number]}: {event.stage}")

        return watched


class Quiet:
    """Nothing is shown: notes go to the logger ``genbench``."""

    def note(self, line: str) -> None:
        logging.getLogger("genbench").info(line)

    @contextmanager
    def watch(self, labels: Sequence[str]) -> Iterator[Watched]:
        def watched(number: int, event: ProgressEvent) -> None:
            if event.note is not None:
                self.note(f"{labels[number]}: {event.note}")

        yield watched


def observer_of(progress: bool | Observer) -> Observer:
    """The observer that ``progress`` of an API call asks for."""
    if isinstance(progress, bool):
        return Screen() if progress else Quiet()
    return progress


@contextmanager
def waiting() -> Iterator[ProgressCallback]:
    """For a command without jobs: after a while, and on a terminal, a bar that names its stage."""
    start = time.perf_counter()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        tasks: dict[str, TaskID] = {}

        def report(event: ProgressEvent) -> None:
            if time.perf_counter() - start < BAR_DELAY:
                return
            if event.stage not in tasks:
                for task in tasks.values():
                    progress.remove_task(task)
                tasks.clear()
                tasks[event.stage] = progress.add_task(event.stage, total=event.total)
            progress.update(tasks[event.stage], completed=event.done)

        yield report


class _Bars:
    """One bar a job; it starts over at each stage, which its note names, with the time left."""

    def __init__(self, progress: Progress, labels: Sequence[str]) -> None:
        self.progress = progress
        self.tasks = [
            progress.add_task(visible(label), start=False, total=1, note="waiting")
            for label in labels
        ]
        self.stage: dict[int, str] = {}
        self.began: dict[int, float] = {}

    def __call__(self, number: int, event: ProgressEvent) -> None:
        task = self.tasks[number]
        if event.note is not None:
            self.progress.console.print(visible(event.note), markup=False, soft_wrap=True)
            return
        if self.stage.get(number) in ENDINGS:
            return  # an event that was still under way
        began = self.began.setdefault(number, time.perf_counter())
        if event.stage in ENDINGS:
            self.stage[number] = event.stage
            note = f"{event.stage} in {time.perf_counter() - began:.0f} s"
            self.progress.update(task, completed=1, total=1, note=note)
            return
        if self.stage.get(number) != event.stage:
            self.stage[number] = event.stage
            self.progress.reset(task, total=event.total)
        self.progress.update(task, completed=event.done, total=event.total, note=self._note(event))

    def _note(self, event: ProgressEvent) -> str:
        if event.stage != "train":
            return event.stage
        loss = "" if event.loss is None else f"loss {event.loss:.4f}"
        rate = "" if event.rate is None else f"{event.rate:,.0f} examples/s"
        return f"train  {loss}  {rate}"
