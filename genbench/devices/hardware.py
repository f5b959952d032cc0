"""On what runs compute: devices, threads and precision."""

from __future__ import annotations

import logging
import os
import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from genbench.api.errors import UsageError
from genbench.suite import Precision

if TYPE_CHECKING:
    from lightning_fabric import Fabric

STRATEGIES = ("auto", "ddp", "ddp_find_unused_parameters_true")
"""Fabric's, as far as every rank holds whole weights: the average, the snapshots and the measured
gradient norms need them. ``auto`` is ``ddp`` on several devices."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Hardware:
    """The devices that runs use, and the folder of data sets."""

    data_dir: Path
    device: str
    """``cpu`` or ``cuda``."""
    devices: int = 1
    """Devices of each run, on each node."""
    num_nodes: int = 1
    strategy: str = "auto"
    """One of ``STRATEGIES``."""

    @property
    def world(self) -> int:
        """The processes of each run: one a device."""
        return self.devices * self.num_nodes

    @property
    def device_name(self) -> str:
        """The processor, as the records show it."""
        if self.device == "cuda":
            return str(torch.cuda.get_device_name())
        return f"CPU ({platform.machine()})"

    def fabric(self, precision: Precision) -> Fabric:
        # Imported only if something is computed, so that a finished run is read quickly.
        from lightning_fabric import Fabric

        with warnings.catch_warnings():
            if "SLURM_JOB_ID" not in os.environ:  # as where one only submits jobs
                warnings.filterwarnings("ignore", "The `srun` command is available")
            # It announces each precision and each process group.
            logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
            return Fabric(
                accelerator=self.device,
                devices=self.devices,
                num_nodes=self.num_nodes,
                strategy=self.strategy,
                precision=precision,
            )

    def require_shares(self, batch: int, accumulate: int = 1) -> None:
        """Raises ``UsageError`` where a batch cannot be shared evenly by the devices, each of which
        takes its share in ``accumulate`` micro-batches."""
        if batch % self.world:
            raise UsageError(f"a batch of {batch} cannot be shared evenly by {self.world} devices")
        if batch // self.world % accumulate:
            raise UsageError(
                f"accumulate = {accumulate} must divide the batch of each device, "
                f"{batch // self.world}"
            )

    def alone(self) -> Hardware:
        """The same with one device."""
        return replace(self, devices=1, num_nodes=1, strategy="auto")

    def identity(self) -> dict[str, Any]:
        """The part of a training's identity that the hardware determines."""
        several = "ddp" if self.strategy == "auto" else self.strategy
        return self.sampling_identity() | {
            "world": self.world,
            "strategy": several if self.world > 1 else "auto",
        }

    def sampling_identity(self) -> dict[str, Any]:
        """The part of a sampling's identity that the hardware determines: blocks are the same on
        any number of devices."""
        return {"torch": version("torch"), "device": self.device}


@dataclass(frozen=True)
class DeviceOptions:
    """What a user chooses of the hardware."""

    device: str = "auto"
    """``cpu``, ``cuda``, or ``auto``: ``cuda`` if there is one."""
    devices: int = 1
    """Devices of each run, on each node."""
    num_nodes: int = 1
    """Nodes, on each of which torchrun or SLURM starts the program."""
    strategy: str = "auto"
    """One of ``STRATEGIES``."""

    @classmethod
    def of(cls, devices: int | DeviceOptions) -> DeviceOptions:
        """A number of devices stands for as many of what there is."""
        return devices if isinstance(devices, DeviceOptions) else cls(devices=devices)

    def hardware(self, data_dir: Path) -> Hardware:
        """Raises ``UsageError`` for a device that does not exist."""
        device = self.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        elif device == "cuda" and not torch.cuda.is_available():
            raise UsageError("--device cuda: torch sees no CUDA device here; see genbench doctor")
        if device == "cuda" and self.devices > torch.cuda.device_count():
            raise UsageError(
                f"--devices {self.devices}: torch sees {torch.cuda.device_count()} here"
            )
        return Hardware(data_dir, device, self.devices, self.num_nodes, self.strategy)


@contextmanager
def thread_variables(threads: int) -> Iterator[None]:
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


@contextmanager
def full_float32() -> Iterator[None]:
    """Neither convolutions nor matrix products round float32 further (TF32, bfloat16) inside.

    The caller's settings, which are the whole process's, are put back.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
