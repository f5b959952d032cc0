"""Progress on standard error: on a terminal a table, whose rows fill in as jobs end; elsewhere a
line for each job that ends, and one now and then for those that run."""

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
from rich.table import Column

from genbench.api import ENDINGS, ProgressCallback, ProgressEvent
from genbench.rendering.console import PipedConsole
from genbench.rendering.unseen import visible

Watched: TypeAlias = Callable[[int, ProgressEvent], None]
"""Called with the number of a job and each of its events; the last one's stage is one of
``ENDINGS``, and its note what the job came to."""

console = PipedConsole(stderr=True)

BAR_DELAY = 2.0
"""Seconds after which a command without jobs shows a bar."""
LINE_EVERY = 20.0
"""Seconds between two lines about the jobs that run, where there is no terminal."""
LABEL = 26
"""Characters of a job's label in the table, so that at 80 columns there is room for what it came
to."""
MARGIN = 4
"""Lines of a terminal that the table leaves free."""


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
            yield _Lines(self, labels)
            return
        columns = (
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(bar_width=8),
            TextColumn("{task.fields[note]}", markup=False, table_column=Column(ratio=1)),
            TimeRemainingColumn(compact=True),
        )
        with Progress(*columns, console=console, expand=True) as progress:
            yield _Bars(progress, labels)


class _Lines:
    """A line for each job that ends; and one for those that run, when the last is some time ago."""

    def __init__(self, screen: Screen, labels: Sequence[str]) -> None:
        self.screen, self.labels = screen, labels
        self.running: dict[int, ProgressEvent] = {}
        self.ended = 0
        self.start = self.last = time.perf_counter()

    def __call__(self, number: int, event: ProgressEvent) -> None:
        label = self.labels[number]
        if event.stage in ENDINGS:
            self.running.pop(number, None)
            self.ended += 1
            self._say(f"{label}: {event.stage}{f', {event.note}' if event.note else ''}")
        elif event.note is not None:
            self.screen.note(event.note)
        else:
            self.running[number] = event
            if time.perf_counter() - self.last >= LINE_EVERY:
                parts = [f"{self.labels[i]}: {_share(each)}" for i, each in self.running.items()]
                ended = f"{self.ended} of {len(self.labels)} ended" if len(self.labels) > 1 else ""
                self._say("; ".join(filter(None, [ended, *parts])))

    def _say(self, line: str) -> None:
        self.last = time.perf_counter()
        self.screen.note(f"{self.last - self.start:6.1f} s  {line}")


def _shortened(label: str) -> str:
    """``DDPM, DDIM-… · seed 0``: what tells the jobs of one training apart stays."""
    if len(label) <= LABEL:
        return label
    names, mark, seed = label.rpartition(" · ")
    end = f"…{mark}{seed}" if mark and len(seed) < LABEL // 2 else "…"
    return f"{(names if mark else label)[: LABEL - len(end)]}{end}"


def _share(event: ProgressEvent) -> str:
    return f"{event.stage} {event.done / event.total:.0%}" if event.total else event.stage


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
    """One row a job; its bar starts over at each stage, which its note names, with the time left.

    Where a terminal has fewer lines than there are jobs, a row is shown while its job runs, and
    goes up as a line when it ends.
    """

    def __init__(self, progress: Progress, labels: Sequence[str]) -> None:
        self.progress = progress
        self.labels = list(map(visible, labels))
        self.few = len(labels) <= max(1, progress.console.height - MARGIN)
        self.tasks = [
            progress.add_task(
                _shortened(label), start=False, total=1, note="waiting", visible=self.few
            )
            for label in self.labels
        ]
        self.stage: dict[int, str] = {}
        self.began: dict[int, float] = {}

    def __call__(self, number: int, event: ProgressEvent) -> None:
        task = self.tasks[number]
        if event.note is not None and event.stage not in ENDINGS:
            self._print(event.note)
            return
        if self.stage.get(number) in ENDINGS:
            return  # an event that was still under way
        began = self.began.setdefault(number, time.perf_counter())
        if event.stage in ENDINGS:
            note = f"{time.perf_counter() - began:.0f} s"
            note = note if event.stage == "done" else f"{event.stage} after {note}"
            note += f", {visible(event.note)}" if event.note else ""
            self.progress.start_task(task)  # one that reported nothing would never be finished
            self.progress.update(task, completed=1, total=1, note=note, visible=self.few)
            if not self.few:
                self._print(f"{self.labels[number]}: {note}")
        else:
            note = self._note(event)
            if self.stage.get(number) != event.stage:
                self.progress.reset(task, total=event.total, visible=True, note=note)
            self.progress.update(task, completed=event.done, total=event.total, note=note)
        self.stage[number] = event.stage

    def _print(self, line: str) -> None:
        self.progress.console.print(visible(line), markup=False, highlight=False, soft_wrap=True)

    def _note(self, event: ProgressEvent) -> str:
        if event.stage != "train":
            return event.stage
        loss = "" if event.loss is None else f"loss {event.loss:.4f}"
        rate = "" if event.rate is None else f"{event.rate:,.0f} examples/s"
        return f"train  {loss}  {rate}"
