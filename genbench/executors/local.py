"""Runs jobs side by side in processes of this machine, each with its own threads or devices."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from queue import Empty
from typing import Any

import torch

from genbench import experiment, registry
from genbench.api import ProgressCallback, ProgressEvent
from genbench.devices.hardware import Hardware
from genbench.devices.launch import RankDied, Work, die_with_the_parent, on_ranks, started
from genbench.devices.ranks import OutOfStep
from genbench.devices.threads import thread_variables
from genbench.experiment import RunContext
from genbench.experiment.run import Job
from genbench.store.records import Record

VISIBLE = "CUDA_VISIBLE_DEVICES"


Show = Callable[[Job, ProgressEvent], None]
"""Called with each event of a job; the last one's stage is one of ``ENDINGS``."""


def execute(
    context: RunContext,
    jobs: Sequence[Job],
    *,
    workers: int,
    threads: int,
    plugins: Sequence[registry.Plugin],
    show: Show,
) -> dict[Job, list[Record]]:
    """Run ``jobs``, ``workers`` at a time, and return each one's records.

    Processes are started fresh, so that their thread counts are set before torch starts work. When
    one of them dies (out of memory, a crash outside Python), what was under way is run again, a job
    at a time, and goes on from its last checkpoint; a job that dies alone is ``failed``. An
    interrupt ends the processes at once: every file is whole or absent.
    """
    done: dict[Job, list[Record]] = {}
    if started() > 1:  # the processes are there
        for job in jobs:
            done[job] = _records(context, job, plugins, partial(show, job))
            show(job, _ending(done[job]))
        return done
    with thread_variables(threads):
        try:
            _run(context, jobs, workers, plugins, show, done)
        except BrokenProcessPool:
            for job in [job for job in jobs if job not in done]:
                try:
                    _run(context, [job], 1, plugins, show, done)
                except BrokenProcessPool:
                    reason = "its process died (out of memory, or a crash outside Python)"
                    done[job] = experiment.lost(context, job.dataset, job.entries, reason)
                    show(job, ProgressEvent("failed", 1, 1))
    return {job: done[job] for job in jobs}


def _run(
    context: RunContext,
    jobs: Sequence[Job],
    workers: int,
    plugins: Sequence[registry.Plugin],
    show: Show,
    done: dict[Job, list[Record]],
) -> None:
    """Run ``jobs`` in one pool, adding to ``done`` what ends. Raises ``BrokenProcessPool``."""
    spawn = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    events, shares = spawn.Queue(), spawn.Queue()
    for share in _shares(context.hardware, workers):
        shares.put(share)
    pool = ProcessPoolExecutor(
        workers, spawn, initializer=_start, initargs=(events, shares, tuple(plugins))
    )
    futures = {pool.submit(_work, context, i, job): job for i, job in enumerate(jobs)}
    try:
        waiting: set[Future[list[Record]]] = set(futures)
        while waiting:
            ended, waiting = wait(waiting, timeout=0.1, return_when=FIRST_COMPLETED)
            for index, event in _drain(events):
                show(jobs[index], event)
            for future in ended:
                job = futures[future]
                done[job] = future.result()
                show(job, _ending(done[job]))
    except BaseException:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _shares(hardware: Hardware, workers: int) -> Iterator[str | None]:
    """The devices of each worker, as ``CUDA_VISIBLE_DEVICES`` names them; ``None``: a CPU's."""
    if hardware.device != "cuda":
        yield from [None] * workers
        return
    visible = os.environ.get(VISIBLE)
    names = visible.split(",") if visible else [str(i) for i in range(torch.cuda.device_count())]
    for worker in range(workers):
        share = [
            names[(worker * hardware.devices + i) % len(names)] for i in range(hardware.devices)
        ]
        yield ",".join(share)


_events: Any = None
_plugins: tuple[registry.Plugin, ...] = ()


def _start(events: Any, shares: Any, plugins: tuple[registry.Plugin, ...]) -> None:
    """In each new process: the parent alone answers an interrupt."""
    global _events, _plugins
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_the_parent()
    _events, _plugins = events, plugins
    share = shares.get()
    if share is not None:
        os.environ[VISIBLE] = share  # before CUDA is first used here
    for plugin in plugins:
        registry.load_plugin(plugin)


def _work(context: RunContext, index: int, job: Job) -> list[Record]:
    def report(event: ProgressEvent) -> None:
        _events.put((index, event))

    return _records(context, job, _plugins, report)


def _records(
    context: RunContext, job: Job, plugins: Sequence[registry.Plugin], report: ProgressCallback
) -> list[Record]:
    """A job's records; where a rank of it dies, what was not recorded is ``failed``."""
    work: Work[list[Record]]
    what: Any
    if job.entries:
        work, what, precision = experiment.run_job, job.entries, job.entries[0].training.precision
    else:
        work, what, precision = experiment.run_real, job.dataset, "32-true"
    try:
        return on_ranks(
            context.hardware, precision, work, context, what, plugins=plugins, report=report
        )
    except (RankDied, OutOfStep) as error:
        if started() > 1:
            raise  # the others are lost, and with them what runs this
        return experiment.lost(context, job.dataset, job.entries, str(error))


def _ending(records: Sequence[Record]) -> ProgressEvent:
    worst = next((r.status for r in records if r.status != "done"), "done")
    return ProgressEvent(worst, 1, 1)


def _drain(events: Any) -> Iterator[tuple[int, ProgressEvent]]:
    while True:
        try:
            yield events.get_nowait()
        except Empty:
            return
