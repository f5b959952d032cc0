"""Samples beside their nearest training samples: what memorization would look like."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from genbench import modalities, store
from genbench.api import Shown
from genbench.api.errors import DataError
from genbench.report.drawings import on_page


@dataclass(frozen=True)
class Neighbours:
    """Some samples and the training sample nearest to each."""

    samples: Shown
    neighbours: Shown
    distances: NDArray[Any]
    """``(n,)``, in the extractor's space."""


def read_neighbours(path: Path) -> Neighbours:
    """The stored neighbours. Raises ``DataError`` if there are none, ``store.Damaged`` if the file
    is damaged."""
    artefact = store.read_artefact(path)
    if artefact is None:
        raise DataError(f"{path.name}: no such file")
    data, metadata = artefact
    try:
        stored = load(data)
        spec = modalities.described(metadata, stored["samples"].shape[1:])
        both = Shown(stored["samples"], spec), Shown(stored["neighbours"], spec)
        return Neighbours(*both, stored["distances"])
    except (KeyError, SafetensorError) as error:
        raise DataError(f"{path.name} cannot be read: {error}") from error


def pairs_on_page(found: Neighbours, label: str) -> Markup | None:
    """Each sample beside its neighbour; ``None`` where the modality has no such picture."""
    shown_by = modalities.find(found.samples.spec)
    if shown_by is None or shown_by.pairs is None:
        return None
    return on_page(shown_by.pairs(found.samples, found.neighbours), label)
