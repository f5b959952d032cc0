"""Models that leave behind, in the process where they train, whatever can be left behind; and some
whose training ends in every way that is not an ``Exception``."""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import sys
import time
import warnings
from pathlib import Path

import torch

from genbench import registry
from genbench.store import CannotWrite

spec = importlib.util.spec_from_file_location("toys", Path(__file__).with_name("toy.py"))
toys = sys.modules.setdefault("toys", importlib.util.module_from_spec(spec))
if not hasattr(toys, "Toy"):
    spec.loader.exec_module(toys)


class Hopeless(BaseException):
    def __str__(self):
        raise ValueError("no message either")


class Unreadable(Exception):
    def __str__(self):
        raise ValueError("no message")


def leave_everything_behind():
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.set_default_device("meta")
    torch.set_num_threads(2)
    torch.manual_seed(5)
    random.seed(5)
    torch.nn.modules.module.register_module_forward_hook(lambda module, inputs, output: 7 * output)
    torch.randn_like = torch.zeros_like
    torch.optim.Adam.step = lambda *_, **__: None
    warnings.simplefilter("error")
    os.environ["GENBENCH_CACHE"] = os.environ["HOME"] = "/nowhere"
    os.chdir("/")
    sys.path.clear()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def exhaust_descriptors():
    while True:
        KEPT.append(open(os.devnull))  # noqa: SIM115


KEPT = []


def raise_(error):
    raise error


def warn():
    warnings.simplefilter("error")
    warnings.warn("not so bad", stacklevel=1)


def fork_a_helper():
    """It holds all that its parent held, and outlives it."""
    if os.fork() == 0:
        time.sleep(300)
    os._exit(4)


ENDS = {
    "left behind": leave_everything_behind,
    "exits": lambda: sys.exit("no reason"),
    "exits at once": lambda: os._exit(3),
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "interrupted": lambda: signal.raise_signal(signal.SIGTERM),
    "helper": fork_a_helper,
    "surrogate": lambda: raise_(ValueError("no \ud800 text,\x1b[31m\n")),
    "interrupt": lambda: raise_(KeyboardInterrupt()),
    "its own disk": lambda: raise_(CannotWrite("the plugin's disk is full")),
    "descriptors": exhaust_descriptors,
    "warns": warn,
}


def reckless(spec, *, end: str):
    os.environ["OMP_NUM_THREADS"] = "0"  # where it is only looked at, too
    os.chdir("/")

    class Reckless(toys.Toy):
        def losses(self, batch, progress):
            if end == "hopeless":
                raise Hopeless
            if end == "unreadable":
                raise Unreadable
            ENDS[end]()
            yield from super().losses(batch, progress)

    return Reckless(spec, 0.05, None)


registry.models.add("reckless", reckless)
if "toy" not in registry.models.names():
    registry.models.add("toy", toys.toy)
