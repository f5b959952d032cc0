"""Runs one function in every process of a job: in new processes of this machine, or in those that
torchrun or SLURM has started."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any, TypeVar

import torch

from genbench import registry
from genbench.api import ProgressCallback
from genbench.api.errors import GenbenchError, UsageError
from genbench.devices.hardware import Hardware
from genbench.devices.processes import Process, close, receive, start
from genbench.devices.ranks import Fault, OutOfStep, Ranks, attempt
from genbench.suite import Precision

T = TypeVar("T")
Work = Callable[..., T]
"""``work(ranks, *arguments, report)``: a function that a new process can import."""

STARTED_BY = ("SLURM_NTASKS", "TORCHELASTIC_RUN_ID")
"""Variables that torchrun or SLURM sets; new processes do not get them."""

GRACE = 0.5
"""Seconds within which a process's death must be noticed, if it is the reason for another rank's
error."""

POLL = 0.2
"""Seconds between two looks, even if there is nothing to read."""

LINGER = 10.0
"""Seconds that a process may take to end once it has given its result."""


class RankDied(GenbenchError):
    """A process of a job has ended without a result."""


def on_ranks(
    hardware: Hardware,
    precision: Precision,
    work: Work[T],
    *arguments: Any,
    plugins: Sequence[registry.Plugin] = (),
    report: ProgressCallback = lambda event: None,
) -> T:
    """What ``work`` returns on rank 0 of ``hardware.world`` processes, all of which run it.

    Raises what it raises; ``RankDied`` when a process ends without having returned.
    """
    if hardware.world == 1:
        return work(Ranks(hardware.fabric(precision)), *arguments, report)
    if started() > 1:
        return _lead(hardware, precision, work, arguments, report)
    told = (tuple(plugins), hardware, precision, work, arguments)
    with Launch(_plugged_rank, *told, world=hardware.world, environment=os.environ) as launch:
        while not launch.ended:
            wait_for([launch])
            launch.receive(report)
        result: T = launch.result()
        return result


def started() -> int:
    """How many processes torchrun or SLURM has started for this command; 1 without them."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return int(os.environ["WORLD_SIZE"])
    if "SLURM_NTASKS" not in os.environ:
        return 1  # without waiting for an import
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

    return int(os.environ["SLURM_NTASKS"]) if SLURMEnvironment.detect() else 1


@contextmanager
def launched_ranks(hardware: Hardware) -> Iterator[None]:
    """Wraps a call that computes. If torchrun or SLURM has started several
    processes, rank 0 goes on, and every other rank serves rank 0 here until it is done, and then
    exits.

    Raises as ``require_started`` does; ``SystemExit`` in a process that has served.
    """
    require_started(hardware)
    if started() == 1:
        yield
        return
    ranks = Ranks(hardware.fabric("32-true"))
    if ranks.rank > 0:
        _serve(ranks, hardware)
        ranks.close()
        raise SystemExit(0)
    yield
    ranks.broadcast(None)
    ranks.close()


def require_started(hardware: Hardware) -> None:
    """Raises ``UsageError`` where the number of the processes that were started is not what
    ``hardware`` says."""
    if started() not in (1, hardware.world):
        raise UsageError(
            f"{started()} processes were started, but --devices {hardware.devices} on --num-nodes "
            f"{hardware.num_nodes} are {hardware.world}"
        )
    if started() == 1 and hardware.num_nodes > 1:
        raise UsageError(
            f"--num-nodes {hardware.num_nodes}: start genbench on every node, by torchrun or srun"
        )


def default_workers(hardware: Hardware, threads: int) -> int:
    """The number of jobs that this machine can run at once, from its cores or devices."""
    if started() > 1:
        return 1
    if hardware.device == "cuda":
        return max(1, torch.cuda.device_count() // hardware.devices)
    allowed = getattr(os, "sched_getaffinity", None)
    cores = len(allowed(0)) if allowed else os.cpu_count() or 1
    return max(1, cores // (threads * hardware.devices))


def _lead(
    hardware: Hardware,
    precision: Precision,
    work: Work[T],
    arguments: Sequence[Any],
    report: ProgressCallback,
) -> T:
    ranks = Ranks(hardware.fabric(precision))
    ranks.broadcast((precision, work, arguments))
    return run_on_all_ranks(ranks, work, arguments, report)


def _serve(ranks: Ranks, hardware: Hardware) -> None:
    """Run what rank 0 runs, until it says that it has finished."""
    while (told := ranks.broadcast(None)) is not None:
        precision, work, arguments = told
        try:
            run_on_all_ranks(Ranks(hardware.fabric(precision)), work, arguments, lambda event: None)
        except (OutOfStep, KeyboardInterrupt):
            raise
        except BaseException:
            pass  # rank 0 raises it too, and answers for it


def run_on_all_ranks(
    ranks: Ranks, work: Work[T], arguments: Sequence[Any], report: ProgressCallback
) -> T:
    """What ``work`` returns. If it raises, the error is raised once every rank's ``work`` has
    raised."""
    result = attempt(ranks, lambda: work(ranks, *arguments, report))
    if isinstance(result, Fault):
        raise result.error
    return result


def run_rank(
    hardware: Hardware,
    precision: Precision,
    work: Work[T],
    arguments: Sequence[Any],
    report: ProgressCallback,
) -> T | None:
    """In a new process: one rank's part; ``None`` but on rank 0."""
    ranks = Ranks(hardware.fabric(precision))
    result = run_on_all_ranks(ranks, work, arguments, report)
    ranks.close()
    return result if ranks.rank == 0 else None


def _plugged_rank(plugins: Sequence[registry.Plugin], *rank: Any) -> Any:
    for plugin in plugins:
        registry.load_plugin(plugin)
    return run_rank(*rank)


class Launch:
    """One function in new processes, until rank 0 has a result or one process has failed. The first
    failure decides, since the others may wait for that process for ever."""

    def __init__(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        world: int,
        environment: Mapping[str, str],
        visible: Mapping[str, str] | None = None,
    ) -> None:
        """``visible``: the variables that say which devices the processes may see."""
        clean = {name: value for name, value in environment.items() if name not in STARTED_BY}
        shared = dict(visible or {})
        if world > 1:
            shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
            shared |= {"NODE_RANK": "0"}
        self._processes: list[Process] = []
        try:
            for rank in range(world):
                variables = shared | ({"LOCAL_RANK": str(rank)} if world > 1 else {})
                process = start(function, *arguments, environment=clean, variables=variables)
                self._processes.append(process)
        except BaseException:
            self.close()
            raise
        self._open = dict(enumerate(self._processes))
        """The processes that may still send a message, by rank."""
        self._result: Any = None
        self.error: GenbenchError | None = None
        """The error of the first process that failed."""
        self._deadline: float | None = None

    def __enter__(self) -> Launch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def signs(self) -> set[Any]:
        """What becomes readable when ``receive`` has something to do."""
        return {process.connection for process in self._open.values()} | {
            process.ends for process in self._open.values()
        }

    @property
    def ended(self) -> bool:
        """Whether there is a result, and no process any more, or an error."""
        late = self._deadline is not None and time.monotonic() >= self._deadline
        if self.error is not None:
            return late or not self._open
        return late or all(process.exit_code is not None for process in self._processes)

    def result(self) -> Any:
        """Rank 0's. Raises the error of the first that failed."""
        if self.error is not None:
            raise self.error
        return self._result

    def receive(self, report: ProgressCallback) -> None:
        """Receive the new messages of the processes, without waiting."""
        for rank, process in list(self._open.items()):
            # Before the messages: a process sends its messages before it ends.
            code = process.exit_code
            try:
                while rank in self._open and (message := receive(process)) is not None:
                    self._take(rank, *message, report)
            except EOFError:
                del self._open[rank]  # its end follows, unless it has closed its connection itself
                process.kill()
                code = process.exit_code
                while code is None:
                    wait([process.ends], POLL)
                    code = process.exit_code
                self._die(rank, code)
                continue
            if code is not None and rank in self._open:
                del self._open[rank]
                self._die(rank, code)

    def close(self) -> None:
        """Kill every process and its children."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            close(process)

    def _take(self, rank: int, kind: str, value: Any, report: ProgressCallback) -> None:
        if kind == "event":
            if rank == 0:
                report(value)
            return
        del self._open[rank]
        if kind == "result":
            self._result = value if rank == 0 else self._result
            if not self._open and self.error is None:
                self._deadline = time.monotonic() + LINGER
        elif self.error is None:
            # What this rank saw may be the other's death.
            self.error, self._deadline = value, time.monotonic() + GRACE

    def _die(self, rank: int, code: int) -> None:
        if isinstance(self.error, RankDied):
            return
        world = len(self._processes)
        who = "its process died" if world == 1 else f"rank {rank} of {world} died"
        self.error = RankDied(
            f"{who} (exit code {code}): out of memory, a kill, or a crash outside Python"
        )
        self._deadline = time.monotonic()


def wait_for(launches: Collection[Launch]) -> None:
    """Wait until one of them may have something to receive, or has ended."""
    if not any(launch.ended for launch in launches):
        wait(set().union(*(launch.signs for launch in launches)), POLL)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
