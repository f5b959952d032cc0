"""What a job does in its process, in place of a training."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from genbench.api import Job, ProgressCallback, ProgressEvent
from genbench.api.errors import GenbenchError


class Hopeless(BaseException):
    def __str__(self) -> str:
        raise ValueError("no message")


def do(job: Job, report: ProgressCallback) -> Any:
    """What ``job.content["do"]`` says, noting its begin and end."""
    log = Path(job.content["out"]) / "log"
    with log.open("a") as file:
        file.write(f"begin {job.label} {os.getpid()}\n")
    report(ProgressEvent("train", 1, 2))
    answer = globals()[job.content["do"]](job)
    with log.open("a") as file:
        file.write(f"end {job.label} {os.getpid()}\n")
    return answer


def answer(job: Job) -> str:
    return json.dumps([{"label": job.label}])


def visible(job: Job) -> str:
    return json.dumps([{"visible": os.environ["CUDA_VISIBLE_DEVICES"]}])


def slow(job: Job) -> str:
    time.sleep(0.5)
    return answer(job)


def for_ever(job: Job) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(300)


def state(job: Job) -> str:
    """What a clean process has."""
    import torch

    main = sys.modules["__main__"]
    return json.dumps(
        [
            {
                "main": getattr(main, "__file__", None),
                "plugins": [name for name in sys.modules if name.startswith("baselines")],
                "folder": os.getcwd(),
                "OMP_NUM_THREADS": os.environ["OMP_NUM_THREADS"],
                "threads": torch.get_num_threads(),
                "cuda": torch.cuda.is_initialized(),
                "dtype": str(torch.get_default_dtype()),
                "given": os.environ.get("GIVEN"),
            }
        ]
    )


def leave_behind(job: Job) -> str:
    import torch

    torch.set_default_dtype(torch.float64)
    os.chdir("/")
    os.environ["GIVEN"] = "by another job"
    os.environ["OMP_NUM_THREADS"] = "7"
    torch.set_num_threads(7)
    return answer(job)


def die(job: Job) -> None:
    os._exit(3)


def killed(job: Job) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave(job: Job) -> None:
    sys.exit("no reason")


def hopeless(job: Job) -> None:
    raise Hopeless


def helper(job: Job) -> None:
    """Die before a helper that holds all that this process held."""
    if os.fork() == 0:
        time.sleep(300)
    os._exit(4)


def own_group(job: Job) -> None:
    """The same with a helper that no signal to the group reaches."""
    if os.fork() == 0:
        os.setsid()
        time.sleep(20)
    os._exit(5)


def two_of_it(job: Job) -> str | None:
    """A fork that goes on as if it were the job."""
    if os.fork() == 0:
        return json.dumps([{"label": "the fork"}])
    time.sleep(0.5)
    return answer(job)


def hangs_at_exit(job: Job) -> str:
    import atexit

    atexit.register(time.sleep, 300)
    return answer(job)


def dies_once(job: Job) -> str:
    mark = Path(job.content["out"]) / "died"
    if not mark.exists():
        mark.touch()
        os._exit(6)
    return answer(job)


def unreadable(job: Job) -> Any:
    return lambda: None


def second_is_killed(report: ProgressCallback) -> None:
    """Of two ranks: what the first would wait for."""
    if os.environ["LOCAL_RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(300)


def second_stops(report: ProgressCallback) -> None:
    if os.environ["LOCAL_RANK"] == "1":
        os.kill(os.getpid(), signal.SIGSTOP)
    raise GenbenchError("the first has waited")  # as gloo and NCCL do after their time
