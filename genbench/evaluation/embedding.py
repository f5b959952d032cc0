"""Samples → features, batch by batch; those that took long are kept for the next time."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Mapping, Set
from importlib.metadata import version
from math import ceil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genbench import store
from genbench.api import (
    LENGTH,
    Batch,
    Categorical,
    FeatureExtractor,
    Features,
    ProgressCallback,
    ProgressEvent,
    Samples,
    SampleSpec,
)
from genbench.api.errors import GenbenchError, UsageError
from genbench.devices.ranks import ALONE, Ranks
from genbench.io.pictures import read_ahead
from genbench.registry import wrap_plugin_errors

VERSION = 1
"""Raised whenever the same samples would have other features."""

BATCH = 256

WORTH_KEEPING = 2.0
"""Seconds: what took less is computed again."""

HASHED = re.compile(r"@[0-9a-f]{12,}$")
"""How ids end that name their contents: another process may trust these alone."""


@torch.no_grad()
def embed(
    samples: Samples,
    extractor: FeatureExtractor,
    device: str,
    ranks: Ranks = ALONE,
    names: Collection[str] | None = None,
    report: ProgressCallback = lambda event: None,
) -> Iterator[Features]:
    """The features of all samples, batch by batch, the same for any number of ranks, which take the
    batches in turns; with what the samples are conditioned on (see ``Features``). ``names``: those
    wanted; all of them by default.

    Raises ``GenbenchError`` where features are not finite, ``PluginError`` where the data set or
    the extractor is at fault.
    """
    batches = ceil(len(samples) / BATCH)
    turns = range(0, batches, ranks.world)
    # Where nothing is left for a rank, the last batch is made once more and not looked at.
    mine = [min(turn + ranks.rank, batches - 1) for turn in turns]
    reader = read_ahead(
        samples, [torch.arange(i * BATCH, min((i + 1) * BATCH, len(samples))) for i in mine]
    )
    for turn in turns:
        report(ProgressEvent(f"embed {samples.id}", turn, batches))
        with wrap_plugin_errors(f"data set {samples.id} failed"):
            batch = next(reader)
        features = _features(samples, batch, extractor, device)
        everyone = {
            name: list(ranks.rows(value, BATCH))
            for name, value in features.items()
            if names is None or name in names
        }
        for number in range(turn, min(turn + ranks.world, batches)):
            rows = min(BATCH, len(samples) - number * BATCH)
            yield {name: parts[number - turn][:rows] for name, parts in everyone.items()}


def embed_first(samples: Samples, extractor: FeatureExtractor, device: str) -> Features:
    """The features of the first sample. Raises as ``embed`` does."""
    with wrap_plugin_errors(f"data set {samples.id} failed"):
        batch = samples.take(torch.arange(1))
    return _features(samples, batch, extractor, device)


def _features(
    samples: Samples, batch: Batch, extractor: FeatureExtractor, device: str
) -> dict[str, Tensor]:
    batch = batch.to(device)
    with wrap_plugin_errors(f"extractor {extractor.id} failed"):
        features = dict(extract(extractor, batch, samples.spec))
    for name, value in features.items():
        if not value.isfinite().all():
            raise GenbenchError(f"{extractor.id} gives {name} of {samples.id} that are not finite")
    features |= {f"condition.{name}": value for name, value in batch.condition.items()}
    classes = [
        name
        for name, declared in samples.spec.condition.items()
        if isinstance(declared, Categorical) and name != LENGTH
    ]
    if len(classes) == 1 and classes[0] in batch.condition:
        features["labels"] = batch.condition[classes[0]]
    return features


def asks_for(extractor: FeatureExtractor) -> Set[str]:
    """The conditions that an extractor must know beside the samples, by name."""
    return frozenset(getattr(extractor, "conditions", ()))


def extract(extractor: FeatureExtractor, batch: Batch, spec: SampleSpec) -> Features:
    """The features of samples in the stored view. Raises ``UsageError`` where the extractor needs a
    condition that they lack."""
    names = asks_for(extractor)
    if not names:
        return extractor(batch.data, spec)
    for name in sorted(names - batch.condition.keys()):
        raise UsageError(f"{extractor.id} needs the condition {name!r} of the samples")
    condition = {name: batch.condition[name] for name in names}
    texts = {name: batch.texts[name] for name in names if name in batch.texts}
    knowing: Any = extractor
    features: Features = knowing(batch.data, spec, condition, texts)
    return features


def embed_once(
    samples: Samples,
    extractor: FeatureExtractor,
    made_by: Mapping[str, Any] | None,
    device: str,
    names: Collection[str],
    report: ProgressCallback,
) -> list[Features]:
    """``embed``, or what an earlier process has kept of it, which is the same to the bit.

    ``made_by``: what decides the features beside the extractor's id; where it is ``None`` nothing
    is kept.
    """
    if made_by is None or not HASHED.search(samples.id):
        return list(embed(samples, extractor, device, ALONE, names, report))
    key = store.fingerprint(
        {
            "samples": samples.id,
            "extractor": extractor.id,
            "made_by": made_by,
            "resize": getattr(extractor, "resize", "none"),
            "names": sorted(names),
            "device": torch.device(device).type,
            "torch": version("torch"),
            "version": VERSION,
        }
    )
    path = store.cache_folder() / "features" / f"{key}.safetensors"
    kept = _read(path)
    if kept is not None:
        batches = {name: torch.split(value.to(device), BATCH) for name, value in kept.items()}
        return [
            dict(zip(batches, parts, strict=True)) for parts in zip(*batches.values(), strict=True)
        ]
    start = time.perf_counter()
    features = list(embed(samples, extractor, device, ALONE, names, report))
    if time.perf_counter() - start > WORTH_KEEPING:
        _write(path, features)
    return features


def _read(path: Path) -> dict[str, Tensor] | None:
    try:
        found = store.read_artefact(path)
    except store.Damaged:
        return None  # and written anew
    return None if found is None else store.unpack_tensors(found[0])


def _write(path: Path, features: list[Features]) -> None:
    """Nothing is lost but time where the folder cannot be written."""
    whole = {name: torch.cat([batch[name] for batch in features]) for name in features[0]}
    try:
        store.write_artefact(path, store.pack_tensors(whole), {})
    except store.CannotWrite:
        return
