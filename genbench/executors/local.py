"""Runs jobs on this machine, each in a new process, several at a time."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import TypeAlias

import torch

from genbench.api import Answers, Failure, Job, Observer, Rows
from genbench.api.errors import one_line
from genbench.devices.hardware import THREAD_VARIABLES
from genbench.devices.launch import Launch, RankDied, default_workers, started, wait_for
from genbench.devices.ranks import ALONE, Fault, attempt
from genbench.experiment.work import context_of, run_as_rank, run_task
from genbench.store import CannotWrite

Answer: TypeAlias = Rows | Failure
VISIBLE = "CUDA_VISIBLE_DEVICES"


class LocalExecutor:
    """Starts each job in processes that are forked from a clean server: a job cannot change another
    job's process.

    A job whose process dies (out of memory, a crash outside Python) is run once more, alone, and
    goes on from its last checkpoint. Where torchrun or SLURM has started the processes, each job is
    computed by all of them, one after another.
    """

    def __init__(self, *, workers: int | None = None) -> None:
        """``workers``: how many jobs at a time; ``None``: as many as the machine has room for."""
        self.workers = workers

    def execute(self, jobs: Sequence[Job], observer: Observer) -> Answers:
        """See ``Executor``. Closing the iterator, or an interrupt, ends the processes at once:
        every file is whole or absent. Raises ``CannotWrite``."""
        run = _in_started_processes if started() > 1 else self._run
        with closing(run(jobs, observer)) as answers:
            yield from answers

    def _run(self, jobs: Sequence[Job], observer: Observer) -> Answers:
        waiting = deque(jobs)
        free = deque(self._shares(jobs[0])) if jobs else deque()
        running: dict[Launch, tuple[Job, Mapping[str, str]]] = {}
        again: set[Job] = set()

        def alone(job: Job) -> bool:
            return job.resources.alone or job in again

        try:
            while waiting or running:
                while waiting and free and not (running and alone(waiting[0])):
                    if any(alone(job) for job, _ in running.values()):
                        break
                    job, share = waiting.popleft(), free.popleft()
                    running[_start(job, share)] = job, share
                wait_for(running)
                for launch, (job, share) in list(running.items()):
                    launch.receive(partial(observer, job))
                    if not launch.ended:
                        continue
                    launch.close()
                    del running[launch]
                    free.append(share)
                    if isinstance(launch.error, RankDied) and job not in again:
                        again.add(job)
                        waiting.append(job)
                    else:
                        yield job, _answer(launch)
        finally:
            for launch in running:
                launch.close()

    def _shares(self, job: Job) -> Iterator[Mapping[str, str]]:
        """The variables that give each worker its devices, for jobs such as ``job``."""
        hardware, devices = context_of(job).hardware, job.resources.devices
        workers = self.workers or default_workers(hardware, job.resources.threads)
        if hardware.device != "cuda":
            yield from [{}] * workers
            return
        visible = os.environ.get(VISIBLE)
        names = visible.split(",") if visible else list(map(str, range(torch.cuda.device_count())))
        for first in range(0, workers * devices, devices):
            share = [names[(first + i) % len(names)] for i in range(devices)]
            yield {VISIBLE: ",".join(share)}


def _start(job: Job, share: Mapping[str, str]) -> Launch:
    threads = dict.fromkeys(THREAD_VARIABLES, str(job.resources.threads))
    environment = {**os.environ, **threads}
    return Launch(
        run_as_rank, job, world=job.resources.devices, environment=environment, visible=share
    )


def _answer(launch: Launch) -> Answer:
    """Raises the store's ``CannotWrite``, since no row can be written."""
    if isinstance(launch.error, CannotWrite) and launch.error.path is not None:
        raise launch.error
    if launch.error is not None:
        return Failure(one_line(launch.error))
    rows: Rows = json.loads(launch.result())
    return rows


def _in_started_processes(jobs: Sequence[Job], observer: Observer) -> Answers:
    for job in jobs:
        answer = attempt(ALONE, partial(run_task, job, partial(observer, job)))
        yield job, Failure(one_line(answer.error)) if isinstance(answer, Fault) else answer
