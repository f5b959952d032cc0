"""What all jobs of one call share: where things lie, how they are scored, on what they run."""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from genbench import evaluation, registry, storage, suite
from genbench.data import open_samples
from genbench.errors import UsageError
from genbench.evaluation import Scorer
from genbench.ranks import Ranks
from genbench.training import loop
from genbench.types import Samples

if TYPE_CHECKING:
    from lightning_fabric import Fabric


STRATEGIES = ("auto", "ddp", "ddp_find_unused_parameters_true")
"""Fabric's, as far as every rank holds whole weights: the average, the snapshots and the measured
gradient norms need them. ``auto`` is ``ddp`` on several devices."""


@dataclass(frozen=True)
class Host:
    """On what runs compute, and where data sets lie."""

    data_dir: Path
    device: str
    """``cpu`` or ``cuda``."""
    devices: int = 1
    """Of each run, on each node."""
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

    def fabric(self, precision: suite.Precision) -> Fabric:
        # Imported where something computes: a run that finds everything done is quick.
        from lightning_fabric import Fabric

        return Fabric(
            accelerator=self.device,
            devices=self.devices,
            num_nodes=self.num_nodes,
            strategy=self.strategy,
            precision=precision,
        )

    def require_shares(self, batch: int) -> None:
        """Raises ``UsageError`` where a batch cannot be shared evenly by the devices."""
        if batch % self.world:
            raise UsageError(f"a batch of {batch} cannot be shared evenly by {self.world} devices")

    def alone(self) -> Host:
        """The same with one device."""
        return replace(self, devices=1, num_nodes=1, strategy="auto")

    def identity(self) -> dict[str, Any]:
        """The host's share of a training's identity."""
        several = "ddp" if self.strategy == "auto" else self.strategy
        return self.sampling_identity() | {
            "world": self.world,
            "strategy": several if self.world > 1 else "auto",
            "loop": loop.VERSION,
        }

    def sampling_identity(self) -> dict[str, Any]:
        """The host's share of a sampling's: blocks are the same on any number of devices."""
        return {"torch": version("torch"), "device": self.device}


@dataclass(frozen=True)
class Bench:
    """What all jobs of one call share."""

    name: str
    """The suite's name, for the records."""
    out: Path
    host: Host
    samples: int
    score: suite.Score
    loggers: tuple[str, ...] = ()
    """What follows the trainings: names of ``genbench.loggers``. They are in no identity."""

    def scorer(self, dataset: str, ranks: Ranks | None = None) -> Scorer:
        """The suite's scoring protocol for models trained on ``dataset``, kept a process; on the
        device of ``ranks``, where something is to be embedded."""
        key = self.score.model_dump_json()
        device = self.host.device if ranks is None else str(ranks.fabric.device)
        return _scorer(key, dataset, self.host.data_dir, device)

    def protocol(self, dataset: str) -> dict[str, Any]:
        """What every row of the suite is scored under."""
        said = self.scorer(dataset).protocol(self.samples)
        if self.score.likelihood is not None:
            said["likelihood_samples"] = self.score.likelihood.samples
        return said

    def key(self, dataset: str) -> str:
        """Names all that decides a score but the samples, without loading a metric: a finished run
        is found at once. A change of genbench's own source makes another key; the scores behind it
        are then read from where each is stored under its exact protocol."""
        plugins = {
            f"{group.kind} {name}": group.code(name)
            for group in (registry.metrics, registry.extractors)
            for name in group.names()
            if not group.is_ours(name)
        }
        return storage.fingerprint(
            {
                "score": self.score.model_dump(mode="json"),
                "samples": self.samples,
                "train": open_cached(dataset, self.host.data_dir).id,
                "reference": open_cached(self.score.reference, self.host.data_dir).id,
                "genbench": registry.source_hash("genbench", "genbench"),
                "plugins": plugins,
            }
        )


def choose_host(
    data_dir: Path, wanted: str, devices: int = 1, num_nodes: int = 1, strategy: str = "auto"
) -> Host:
    """The host that the command line's options describe; ``auto`` is ``cuda`` where there is one.

    Raises ``UsageError`` for a device that is not there.
    """
    device = wanted
    if wanted == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    elif wanted == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: torch sees no CUDA device here; see genbench doctor")
    if device == "cuda" and devices > torch.cuda.device_count():
        raise UsageError(f"--devices {devices}: torch sees {torch.cuda.device_count()} here")
    return Host(data_dir, device, devices, num_nodes, strategy)


@lru_cache(maxsize=8)
def open_cached(reference: str, data_dir: Path) -> Samples:
    """Data sets are read once a process."""
    return open_samples(reference, data_dir)


@lru_cache(maxsize=4)
def _scorer(key: str, dataset: str, data_dir: Path, device: str) -> Scorer:
    score = suite.Score.model_validate_json(key)
    return evaluation.scorer(
        reference=open_cached(score.reference, data_dir),
        train=open_cached(dataset, data_dir),
        extractor=score.extractor,
        extractor_options=score.extractor_options,
        outputs=score.metrics,
        seed=score.seed,
        device=device,
    )
