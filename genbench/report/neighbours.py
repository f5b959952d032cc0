"""Samples above their nearest training samples: what memorization would look like."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from genbench import store
from genbench.api.errors import DataError
from genbench.report.samples import embedded, sheet, tile


@dataclass(frozen=True)
class Neighbours:
    """Some samples and the training sample nearest to each."""

    samples: NDArray[Any]
    """``(n, *shape)`` in the stored view."""
    neighbours: NDArray[Any]
    """The same shape and view."""
    distances: NDArray[Any]
    """``(n,)``, in the extractor's space."""
    modality: str
    levels: int | None


def read_neighbours(path: Path) -> Neighbours:
    """What the runner left there. Raises ``DataError`` where it is nothing, ``store.Damaged``."""
    artefact = store.read_artefact(path)
    if artefact is None:
        raise DataError(f"{path.name}: no such file")
    data, metadata = artefact
    try:
        stored = load(data)
        tensors = stored["samples"], stored["neighbours"], stored["distances"]
        said = metadata["modality"], metadata["levels"]
    except (KeyError, SafetensorError) as error:
        raise DataError(f"{path.name} cannot be read: {error}") from error
    return Neighbours(*tensors, *said)


def pairs_on_page(found: Neighbours, label: str) -> Markup | None:
    """An ``<img>``, a sample above its neighbour in each column; ``None`` for what is no image."""
    if found.modality != "image" or found.samples.ndim != 4:
        return None
    rows = found.samples, found.neighbours
    return embedded(sheet([[tile(image, found.levels) for image in row] for row in rows]), label)
