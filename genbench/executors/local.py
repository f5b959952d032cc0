"""Runs jobs side by side in processes of this machine, each with its own threads."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_for_any
from pathlib import Path
from queue import Empty
from typing import Any

from genbench import registry, runner
from genbench.results import Record
from genbench.runner import Bench
from genbench.suite import Entry
from genbench.types import Event

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True, eq=False)
class Job:
    """One training with its entries, or the real row of a data set (then ``entries`` is empty).

    Every job equals itself alone."""

    label: str
    dataset: str
    entries: tuple[Entry, ...] = ()


Show = Callable[[Job, Event], None]
"""Called with each event of a job; the last one's stage is one of ``ENDINGS``."""


def execute(
    bench: Bench,
    jobs: Sequence[Job],
    *,
    workers: int,
    threads: int,
    plugins: Sequence[Path],
    show: Show,
) -> dict[Job, list[Record]]:
    """Run ``jobs``, ``workers`` at a time, and return each one's records.

    Processes are started fresh, so that their thread counts are set before torch starts work. When
    one of them dies (out of memory, a crash outside Python), what was under way is run again, a job
    at a time, and goes on from its last checkpoint; a job that dies alone is ``failed``. An
    interrupt ends the processes at once: every file is whole or absent.
    """
    done: dict[Job, list[Record]] = {}
    with _environment(threads):
        try:
            _run(bench, jobs, workers, plugins, show, done)
        except BrokenProcessPool:
            for job in [job for job in jobs if job not in done]:
                try:
                    _run(bench, [job], 1, plugins, show, done)
                except BrokenProcessPool:
                    reason = "its process died (out of memory, or a crash outside Python)"
                    done[job] = runner.lost(bench, job.dataset, job.entries, reason)
                    show(job, Event("failed", 1, 1))
    return {job: done[job] for job in jobs}


def _run(
    bench: Bench,
    jobs: Sequence[Job],
    workers: int,
    plugins: Sequence[Path],
    show: Show,
    done: dict[Job, list[Record]],
) -> None:
    """Run ``jobs`` in one pool, adding to ``done`` what ends. Raises ``BrokenProcessPool``."""
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    events = context.Queue()
    pool = ProcessPoolExecutor(
        workers, context, initializer=_start, initargs=(events, tuple(plugins))
    )
    futures = {pool.submit(_work, bench, i, job): job for i, job in enumerate(jobs)}
    try:
        waiting: set[Future[list[Record]]] = set(futures)
        while waiting:
            ended, waiting = wait(waiting, timeout=0.1, return_when=FIRST_COMPLETED)
            for index, event in _drain(events):
                show(jobs[index], event)
            for future in ended:
                job = futures[future]
                done[job] = future.result()
                worst = next((r.status for r in done[job] if r.status != "done"), "done")
                show(job, Event(worst, 1, 1))
    except BaseException:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_events: Any = None


def _start(events: Any, plugins: Sequence[Path]) -> None:
    """In each new process: the parent alone answers an interrupt."""
    global _events
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_the_parent, daemon=True).start()
    _events = events
    for plugin in plugins:
        registry.add_plugin_file(plugin)


def _die_with_the_parent() -> None:
    """A killed parent cannot end its workers, and two of them must not train one run."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for_any([parent.sentinel])
    os._exit(1)


def _work(bench: Bench, index: int, job: Job) -> list[Record]:
    def report(event: Event) -> None:
        _events.put((index, event))

    if not job.entries:
        return [runner.real_record(bench, job.dataset, report)]
    return runner.run_job(bench, job.entries, report)


def _drain(events: Any) -> Iterator[tuple[int, Event]]:
    while True:
        try:
            yield events.get_nowait()
        except Empty:
            return


@contextmanager
def _environment(threads: int) -> Iterator[None]:
    """The thread counts that new processes inherit."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
