"""The first samples of an entry, each with the training sample nearest to it: to be shown."""

from __future__ import annotations

from pathlib import Path

import torch

from genbench import modalities, store
from genbench.api import Samples, TensorSamples
from genbench.devices.ranks import Ranks
from genbench.evaluation import Scorer, embed
from genbench.metrics.distances import euclidean

SHOWN = 8

VERSION = 1
"""Raised whenever the same samples and features would have other neighbours."""


@torch.no_grad()
def neighbours(
    ranks: Ranks, scorer: Scorer, folder: Path, scoring: str, samples: Samples
) -> Path | None:
    """The file of the first ``SHOWN`` of ``samples`` and of their nearest training samples, made
    now or before; ``None`` where no metric looks at the training set's features, which then would
    be embedded for this alone.

    Nearest by the Euclidean distance in the extractor's space. The file holds ``samples`` and
    ``neighbours``, ``(n, *shape)`` in the stored view, and ``distances``, ``(n,)`` float64.
    ``scoring`` names how ``samples`` are scored, and so themselves, the training set and the
    extractor.
    """
    identity = store.fingerprint({"scoring": scoring, "shown": SHOWN, "version": VERSION})
    path = folder / "neighbours" / f"{identity}.safetensors"
    if ranks.on_rank_zero(lambda: store.read_artefact(path) is not None):
        return path
    train = scorer.train
    features = scorer.training_features(ranks)
    if train is None or features is None or "features" not in features[0]:
        return None
    batch = samples.take(torch.arange(min(SHOWN, len(samples))))
    few = TensorSamples(
        samples.spec, f"{samples.id}[:{SHOWN}]", batch.data, batch.condition, batch.texts
    )
    embedded = embed(few, scorer.extractor, scorer.device, ranks, {"features"})
    (own,) = (part["features"] for part in embedded)
    distances = torch.cat([euclidean(own, part["features"]) for part in features], dim=1)
    nearest, number = distances.cpu().min(dim=1)

    def write() -> None:
        tensors = {
            "samples": few.data,
            "neighbours": train.take(number).data,
            "distances": nearest,
        }
        about = modalities.description(samples.spec)
        store.write_artefact(path, store.pack_tensors(tensors), about)

    ranks.on_rank_zero(write)
    return path
