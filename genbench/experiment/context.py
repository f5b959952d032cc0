"""What all jobs of one call share: the folder, the scoring and the hardware."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from genbench import evaluation, registry, store, suite
from genbench.api import Samples
from genbench.data import open_samples
from genbench.devices.hardware import Hardware
from genbench.devices.ranks import Ranks
from genbench.evaluation import Scorer
from genbench.io.prompts import Captions, read_prompts


@dataclass(frozen=True)
class RunContext:
    """What all jobs of one call share."""

    name: str
    """The suite's name, for the records."""
    out: Path
    hardware: Hardware
    samples: int
    score: suite.Score
    loggers: tuple[str, ...] = ()
    """The names of the loggers. They are part of no identity."""
    prompts: suite.Prompts | None = None
    """The prompts of generated samples."""

    @classmethod
    def of(
        cls, content: suite.Suite, out: Path, hardware: Hardware, loggers: tuple[str, ...] = ()
    ) -> RunContext:
        """That of the jobs of a suite."""
        return cls(
            content.name, out, hardware, content.samples, content.score, loggers, content.prompts
        )

    def scorer(self, dataset: str, ranks: Ranks | None = None) -> Scorer:
        """The suite's scoring protocol for models trained on ``dataset``, kept a process; on the
        device of ``ranks``, if something must be embedded."""
        key = self.score.model_dump_json()
        device = self.hardware.device if ranks is None else str(ranks.fabric.device)
        return cached_scorer(key, dataset, self.hardware.data_dir, device)

    def protocol(self, dataset: str) -> dict[str, Any]:
        """The protocol of every row of the suite."""
        said = self.scorer(dataset).protocol(self.samples)
        if self.score.likelihood is not None:
            said["likelihood_samples"] = self.score.likelihood.samples
        if self.prompts is not None:
            said["prompts"] = store.fingerprint(prompts_inputs(self.prompts, self.hardware))
        return said | self.score.criteria.to_dict()

    def inputs(self, dataset: str) -> dict[str, Any]:
        """All that decides a score but the samples, known without loading a metric: a finished run
        is found at once. After a change of genbench's own source no record is found; the scores
        behind it are then read from where each is stored under its exact protocol."""
        plugins = {
            f"{group.kind} {name}": group.code(name).identity
            for group in (registry.metrics, registry.extractors, registry.samplers)
            for name in group.names()
            if not group.is_ours(name)
        }
        return {
            "score": self.score.model_dump(mode="json"),
            "samples": self.samples,
            "prompts": prompts_inputs(self.prompts, self.hardware),
            "train": open_cached(dataset, self.hardware.data_dir).id,
            "reference": open_cached(self.score.reference, self.hardware.data_dir).id,
            "genbench": registry.own_code().identity,
            "plugins": plugins,
        }


def prompts_inputs(prompts: suite.Prompts | None, hardware: Hardware) -> dict[str, Any] | None:
    """What identities hold of prompts: those of a data set by its id, and those of a file by the
    hash of its texts, wherever they lie and in whatever format."""
    if prompts is None:
        return None
    said = prompts.model_dump(mode="json", exclude_none=True, exclude={"captions"})
    if prompts.file is not None:
        said["file"] = store.fingerprint(texts_of_file(prompts.file, prompts.captions))
    if prompts.dataset is not None:
        said["dataset"] = open_cached(prompts.dataset, hardware.data_dir).id
    return said


@lru_cache(maxsize=8)
def open_cached(reference: str, data_dir: Path) -> Samples:
    """Data sets are read once a process."""
    return open_samples(reference, data_dir)


@lru_cache(maxsize=8)
def texts_of_file(file: str, captions: Captions | None) -> tuple[str, ...]:
    """Files of prompts are read once a process, too. Raises as ``read_prompts`` does."""
    return tuple(read_prompts(Path(os.path.expanduser(file)), captions))


def reopen_data() -> None:
    """Read every data set and every file of prompts again when it is next asked for: since the last
    call, the files may have changed."""
    open_cached.cache_clear()
    texts_of_file.cache_clear()
    cached_scorer.cache_clear()


def data_notes(data_dir: Path, *references: str) -> list[str]:
    """What a user must know of how these data were read, a line each."""
    return [
        f"{reference}: {note}"
        for reference in dict.fromkeys(references)
        for note in getattr(open_cached(reference, data_dir), "notes", ())
    ]


@lru_cache(maxsize=4)
def cached_scorer(key: str, dataset: str, data_dir: Path, device: str) -> Scorer:
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
