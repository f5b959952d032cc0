"""Runs one function in every process of a job: here, in new processes of this machine, or in those
that torchrun or SLURM has started."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import socket
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar

import torch

from genbench import registry
from genbench.api import ProgressCallback, ProgressEvent
from genbench.api.errors import GenbenchError, UsageError, one_line
from genbench.devices.hardware import Hardware
from genbench.devices.ranks import OutOfStep, Ranks
from genbench.store import CannotWrite
from genbench.suite import Precision

T = TypeVar("T")
Work = Callable[..., T]
"""``work(ranks, *arguments, report)``: a function that a new process can import."""


GRACE = 0.5
"""Seconds in which a death must show that is the reason for another rank's error."""


class RankDied(GenbenchError):
    """A process of a job has ended before its time."""


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
    if started() > 1:
        return _lead(hardware, precision, work, arguments, report)
    if hardware.world == 1:
        return work(Ranks(hardware.fabric(precision)), *arguments, report)
    return _spawn(hardware, precision, work, arguments, plugins, report)


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
    """Around the whole of a call that computes. Where torchrun or SLURM has started several
    processes, rank 0 goes on, and every other serves it in here until it is done, and ends.

    Raises ``UsageError`` where their number is not what ``hardware`` says; ``SystemExit`` in a
    process that has served.
    """
    if started() not in (1, hardware.world):
        raise UsageError(
            f"{started()} processes were started, but --devices {hardware.devices} on --num-nodes "
            f"{hardware.num_nodes} are {hardware.world}"
        )
    if started() == 1:
        if hardware.num_nodes > 1:
            raise UsageError(
                f"--num-nodes {hardware.num_nodes}: start genbench on every node, by torchrun or "
                "srun"
            )
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


def default_workers(hardware: Hardware, threads: int) -> int:
    """How many jobs this machine has room for: by its cores, or by its devices."""
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
    """Do what rank 0 does, until it says that there is no more."""
    while (told := ranks.broadcast(None)) is not None:
        precision, work, arguments = told
        try:
            run_on_all_ranks(Ranks(hardware.fabric(precision)), work, arguments, lambda event: None)
        except OutOfStep:
            raise
        except Exception:
            pass  # rank 0 raises it too, and answers for it


def run_on_all_ranks(
    ranks: Ranks, work: Work[T], arguments: Sequence[Any], report: ProgressCallback
) -> T:
    try:
        return work(ranks, *arguments, report)
    except CannotWrite:
        raise  # rank 0 writes alone: it does not wait for the others, whose end this is too
    except Exception as error:
        ranks.barrier(error)
        raise


def _spawn(
    hardware: Hardware,
    precision: Precision,
    work: Work[T],
    arguments: Sequence[Any],
    plugins: Sequence[registry.Plugin],
    report: ProgressCallback,
) -> T:
    spawn = multiprocessing.get_context("spawn")
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    processes: list[SpawnProcess] = []
    ends: list[Connection] = []
    try:
        for rank in range(hardware.world):
            ours, theirs = spawn.Pipe(duplex=False)
            environment = address | {"LOCAL_RANK": str(rank), "NODE_RANK": "0"}
            process = spawn.Process(
                target=_rank,
                args=(theirs, environment, hardware, precision, work, arguments, tuple(plugins)),
            )
            process.start()
            theirs.close()
            processes.append(process)
            ends.append(ours)
        result: T = _watch(processes, ends, report)
        return result
    finally:
        for process in processes:
            process.terminate()
            process.join()
        for end in ends:
            end.close()


def _watch(
    processes: Sequence[SpawnProcess], ends: Sequence[Connection], report: ProgressCallback
) -> Any:
    """What rank 0 sends as its result, once every rank has ended well. The first to fail decides:
    the others may wait for it for ever."""
    result: Any = None
    waiting = dict(zip(ends, range(len(ends)), strict=True))
    while waiting:
        for end in wait(list(waiting)):
            assert isinstance(end, Connection)
            rank = waiting[end]
            try:
                kind, value = _receive(end)
            except (EOFError, OSError):
                raise _death(rank, processes) from None
            if kind == "event":
                report(value)
            elif kind == "error":
                # What this rank saw may be the other's death.
                dead = [r for r, end in enumerate(ends) if end in waiting and _ended(end)]
                raise _death(dead[0], processes) if dead else value
            else:
                result = value if rank == 0 else result
                del waiting[end]
    for process in processes:
        process.join()
    return result


def _send(end: Connection, kind: str, value: Any) -> None:
    # Whole: the connection's own way shares the memory of tensors, which this process may not
    # outlive.
    end.send_bytes(pickle.dumps((kind, value)))


def _receive(end: Connection) -> Any:
    return pickle.loads(end.recv_bytes())


def _ended(end: Connection) -> bool:
    """Whether a rank has ended without another word."""
    try:
        return end.poll(GRACE) and _receive(end) is None
    except (EOFError, OSError):
        return True


def _death(rank: int, processes: Sequence[SpawnProcess]) -> RankDied:
    processes[rank].join()
    return RankDied(
        f"rank {rank} of {len(processes)} died (exit code {processes[rank].exitcode}): out of "
        "memory, a kill, or a crash outside Python"
    )


def _rank(
    end: Connection,
    environment: dict[str, str],
    hardware: Hardware,
    precision: Precision,
    work: Work[Any],
    arguments: Sequence[Any],
    plugins: Sequence[registry.Plugin],
) -> None:
    """In a new process: one rank's part."""
    for name in ("SLURM_NTASKS", "TORCHELASTIC_RUN_ID"):
        os.environ.pop(name, None)  # they started the parent, alone
    os.environ.update(environment)
    die_with_the_parent()
    first = environment["LOCAL_RANK"] == "0"

    def report(event: ProgressEvent) -> None:
        if first:
            _send(end, "event", event)

    try:
        for plugin in plugins:
            registry.load_plugin(plugin)
        ranks = Ranks(hardware.fabric(precision))
        result = run_on_all_ranks(ranks, work, arguments, report)
        ranks.close()
    except Exception as error:
        if not isinstance(error, GenbenchError):
            traceback.print_exc()
            error = GenbenchError(one_line(error))
        _send(end, "error", error)
    else:
        _send(end, "result", result if first else None)


def die_with_the_parent() -> None:
    """A killed parent cannot end its processes, and two of them must not train one run."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch(sentinel: int = parent.sentinel) -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
