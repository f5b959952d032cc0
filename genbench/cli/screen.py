"""Progress on standard error: a bar a run on a terminal, a line an ended run elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from genbench.api import ENDINGS, ProgressCallback, ProgressEvent

if TYPE_CHECKING:
    from genbench.api import Job, Observer

console = Console(stderr=True)


PATIENCE = 2.0
"""Seconds after which somebody who waits is shown a bar."""


@contextmanager
def waiting() -> Iterator[ProgressCallback]:
    """For a command without runs: a bar that names its stage, once it has lasted a while, on a
    terminal."""
    start = time.perf_counter()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        tasks: dict[str, TaskID] = {}

        def report(event: ProgressEvent) -> None:
            if time.perf_counter() - start < PATIENCE:
                return
            if event.stage not in tasks:
                for task in tasks.values():
                    progress.remove_task(task)
                tasks.clear()
                tasks[event.stage] = progress.add_task(event.stage, total=event.total)
            progress.update(tasks[event.stage], completed=event.done)

        yield report


@contextmanager
def screen(jobs: Sequence[Job]) -> Iterator[Observer]:
    """What an executor calls with each event."""
    if not console.is_terminal:
        yield _lines()
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
        yield _Bars(progress, jobs)


class _Bars:
    """One bar a job; it starts over at each stage, which its note names, with the time left."""

    def __init__(self, progress: Progress, jobs: Sequence[Job]) -> None:
        self.progress = progress
        self.tasks: dict[Job, TaskID] = {
            job: progress.add_task(job.label, start=False, total=1, note="waiting") for job in jobs
        }
        self.stage: dict[Job, str] = {}
        self.began: dict[Job, float] = {}

    def __call__(self, job: Job, event: ProgressEvent) -> None:
        task = self.tasks[job]
        if event.note is not None:
            self.progress.console.print(event.note, markup=False, soft_wrap=True)
            return
        if self.stage.get(job) in ENDINGS:
            return  # an event that was still under way
        began = self.began.setdefault(job, time.perf_counter())
        if event.stage in ENDINGS:
            self.stage[job] = event.stage
            note = f"{event.stage} in {time.perf_counter() - began:.0f} s"
            self.progress.update(task, completed=1, total=1, note=note)
            return
        if self.stage.get(job) != event.stage:
            self.stage[job] = event.stage
            self.progress.reset(task, total=event.total)
        self.progress.update(task, completed=event.done, total=event.total, note=self._note(event))

    def _note(self, event: ProgressEvent) -> str:
        if event.stage != "train":
            return event.stage
        loss = "" if event.loss is None else f"loss {event.loss:.4f}"
        rate = "" if event.rate is None else f"{event.rate:,.0f} examples/s"
        return f"train  {loss}  {rate}"


def _lines() -> Observer:
    start = time.perf_counter()

    def show(job: Job, event: ProgressEvent) -> None:
        if event.note is not None:
            console.print(event.note, markup=False, soft_wrap=True)
        elif event.stage in ENDINGS:
            seconds = time.perf_counter() - start
            console.print(
                f"{seconds:6.1f} s  {job.label}: {event.stage}", markup=False, soft_wrap=True
            )

    return show
