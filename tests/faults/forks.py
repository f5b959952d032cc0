"""A process that has imported torch and run nothing, and forks a child for each training.

Starting Python and torch anew for each of some hundred kills would take minutes. One request a
line on standard input, one answer a line on standard output:

    {"model": …, "folder": …, "kill": null | {"call": n} | {"seconds": t}, "keep": true}
        →  {"killed": true, …}
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
import traceback
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # at once, not in every child at its first optimiser step
from disk import watched
from lightning_fabric import Fabric
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from genbench import registry
from genbench.data import open_samples
from genbench.training import checkpoint, loop

STEPS = 12
DATASET = "digits"
OPTIONS: dict[str, dict[str, Any]] = {
    "ddpm": {"channels": 4, "timesteps": 30, "dropout": 0.1},
    "score-sde": {"channels": 4},
    "gan": {"channels": 4, "r1_interval": 4},
}


class Killer:
    """Counts the moments of a training, and ends the process at one of them as ``kill -9`` does."""

    def __init__(self, at: int | None) -> None:
        self.at, self.count = at, 0

    def __call__(self, *_: object) -> None:
        self.count += 1
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def train(model: str, folder: Path, at: int | None, keep: bool) -> int:
    """Train with a checkpoint after every step, of which the last stays if it is to ``keep``.

    Returns how many moments there were: every call that changes the disk, and before and after each
    player's step."""
    moment = Killer(at)
    loop.CHECKPOINT_SECONDS, loop.CHECKPOINT_SHARE = 0.0, math.inf
    loop.COUNTED_STEPS = 4
    if keep:
        checkpoint.clear_state = lambda folder: None
    register_optimizer_step_pre_hook(moment)
    register_optimizer_step_post_hook(moment)
    samples = open_samples(DATASET, folder)
    factory = registry.models.get(model)
    plan = loop.TrainingConfig(
        steps=STEPS, batch=8, ema_halflife=50, augment=("horizontal_flip",), snapshots=3, seed=7
    )
    build = partial(registry.call, factory, samples.spec, **OPTIONS[model])
    with watched(folder, moment):
        fabric = Fabric(accelerator="cpu", devices=1)
        loop.train(fabric, build, samples, plan, folder, lambda event: None)
    return moment.count


def child(model: str, folder: str, at: int | None, keep: bool, answer: int) -> None:
    status = 1
    try:
        os.write(answer, str(train(model, Path(folder), at, keep)).encode())
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def serve(model: str, folder: str, kill: dict[str, float] | None, keep: bool) -> dict[str, Any]:
    kill = kill or {}
    reading, writing = os.pipe()
    started = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        child(model, folder, int(kill["call"]) if "call" in kill else None, keep, writing)
    os.close(writing)
    if "seconds" in kill:
        time.sleep(kill["seconds"])
        os.kill(pid, signal.SIGKILL)
    said = os.read(reading, 100).decode()
    os.close(reading)
    _, status = os.waitpid(pid, 0)
    return {
        "killed": os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL,
        "failed": os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0,
        "moments": int(said or 0),
        "seconds": time.perf_counter() - started,
    }


def main() -> None:
    torch.set_num_threads(1)
    for model in OPTIONS:
        registry.models.get(model)
    open_samples(DATASET, Path())
    for line in sys.stdin:
        print(json.dumps(serve(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
