"""Samples → features, batch by batch. Features that took long to compute are kept."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Set
from dataclasses import replace
from importlib.metadata import version
from math import ceil
from typing import Any

import torch
from torch import Tensor

from genbench import store
from genbench.api import (
    LENGTH,
    Batch,
    Categorical,
    Condition,
    FeatureExtractor,
    Features,
    ProgressCallback,
    ProgressEvent,
    Samples,
    SampleSpec,
    Text,
    Texts,
)
from genbench.api.errors import GenbenchError, UsageError
from genbench.devices.ranks import ALONE, Ranks
from genbench.io.pictures import read_ahead
from genbench.registry import wrap_plugin_errors

BATCH = 256

WORTH_KEEPING = 2.0
"""Seconds: features that took less time are not kept."""

HASHED = re.compile(r"@[0-9a-f]{12,}$")
"""The end of an id that holds a hash of the contents. Features are kept only for such ids."""


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

    Raises ``GenbenchError`` if features are not finite, ``PluginError`` if the data set or
    the extractor is at fault.
    """
    batches = ceil(len(samples) / BATCH)
    turns = range(0, batches, ranks.world)
    # A rank without a batch of its own computes the last batch again, which is ignored.
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
    labels = "label" if "label" in classes else classes[0] if len(classes) == 1 else None
    if labels is not None and labels in batch.condition:
        features["labels"] = batch.condition[labels]
    if (prompt := _prompts(batch, samples.spec)) is not None:
        features["prompt"] = prompt.to(device)
    return features


def _prompts(batch: Batch, spec: SampleSpec) -> Tensor | None:
    """A number, int64 ``(B,)``, of what each sample was asked for: of its texts, if it has some, or
    else of its other conditions; ``None`` without any. Tokens stand for words that are unknown."""
    given = [name for name in sorted(spec.condition) if name in batch.condition and name != LENGTH]
    texts = [name for name in given if isinstance(spec.condition[name], Text)]
    columns = [
        batch.texts[name] if name in batch.texts else batch.condition[name].tolist()
        for name in texts or given
    ]
    if not columns:
        return None
    hashes = [
        hashlib.blake2b(repr(row).encode(), digest_size=8) for row in zip(*columns, strict=True)
    ]
    numbers = [int.from_bytes(row.digest(), "big", signed=True) for row in hashes]
    return torch.tensor(numbers, dtype=torch.int64)


def asks_for(extractor: FeatureExtractor) -> Set[str]:
    """The names of the conditions that an extractor needs beside the samples."""
    return frozenset(getattr(extractor, "conditions", ()))


def extract(extractor: FeatureExtractor, batch: Batch, spec: SampleSpec) -> Features:
    """The features of samples in the stored view. Raises ``UsageError`` if the extractor needs a
    condition that they lack."""
    if not asks_for(extractor):
        return extractor(batch.data, spec)
    knowing: Any = extractor
    features: Features = knowing(batch.data, spec, *_known(extractor, batch))
    return features


def _known(extractor: FeatureExtractor, batch: Batch) -> tuple[Condition, Texts]:
    """What an extractor must know of a batch beside the samples. Raises ``UsageError``."""
    names = asks_for(extractor)
    for name in sorted(names - batch.condition.keys()):
        raise UsageError(f"{extractor.id} needs the condition {name!r} of the samples")
    condition = {name: batch.condition[name] for name in names}
    return condition, {name: batch.texts[name] for name in names if name in batch.texts}


def facts(extractor: FeatureExtractor, batch: Batch, spec: SampleSpec) -> list[dict[str, bool]]:
    """What is stated of each sample of a batch in the stored view, and whether it holds; empty if
    the extractor does not say. Raises ``PluginError`` if it is at fault."""
    say: Any = getattr(extractor, "facts", None)
    if say is None:
        return []
    with wrap_plugin_errors(f"extractor {extractor.id} failed"):
        return [dict(stated) for stated in say(batch.data, spec, *_known(extractor, batch))]


def _pack(batches: list[Features]) -> store.Contents:
    whole = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
    return store.pack_tensors(whole), {}


def _unpack(contents: store.Contents) -> list[Features]:
    whole = store.unpack_tensors(contents[0])
    parts = zip(*(torch.split(value, BATCH) for value in whole.values()), strict=True)
    return [dict(zip(whole, part, strict=True)) for part in parts]


FEATURES = store.Stage[list[Features]](
    "features",
    version=1,
    inputs=("samples", "extractor", "made_by", "resize", "names", "device", "torch"),
    pack=_pack,
    unpack=_unpack,
    suffix=".safetensors",
    kept=lambda features, seconds: seconds > WORTH_KEEPING,
    cache=True,
)
"""Features of a data set, batch by batch, shared by all commands. ``made_by``: what determines them
beside the extractor's id, that is its options and a plugin's code."""


def embed_once(
    samples: Samples,
    extractor: FeatureExtractor,
    made_by: Mapping[str, Any] | None,
    device: str,
    ranks: Ranks,
    names: Collection[str],
    report: ProgressCallback,
) -> list[Features]:
    """``embed``, or the features that an earlier command has kept, which are equal bit for bit.
    Nothing is kept if ``made_by`` is ``None`` (unknown)."""

    def compute() -> list[Features]:
        return list(embed(samples, extractor, device, ranks, names, report))

    folder = ranks.on_rank_zero(store.cache_folder)
    if made_by is None or not HASHED.search(samples.id) or folder is None:
        return compute()

    def unpack(contents: store.Contents) -> list[Features]:
        features = _unpack(contents)
        held = features[0].keys()
        counts = {sum(len(batch[name]) for batch in features) for name in held}
        if not held <= set(names) or counts != {len(samples)}:
            raise ValueError(f"no {', '.join(sorted(names))} of {len(samples)} samples")
        return features

    inputs = {
        "samples": samples.id,
        "extractor": extractor.id,
        "made_by": dict(made_by),
        "resize": getattr(extractor, "resize", "none"),
        "names": sorted(names),
        "device": torch.device(device).type,
        "torch": version("torch"),
    }
    stage = replace(FEATURES, unpack=unpack)
    features = stage.once(ranks, folder, inputs, compute).value
    return [{name: value.to(device) for name, value in batch.items()} for batch in features]
