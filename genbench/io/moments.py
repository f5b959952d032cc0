"""Published statistics of features: in ``.npz`` files, alone or beside samples.

- ``mu`` ``(D,)`` and ``sigma`` ``(D, D)``: pytorch-fid and the TTUR code that it follows,
  clean-fid, EDM (https://github.com/NVlabs/edm, ``fid.py ref``);
- ``pool_3`` ``(N, D)``, the features themselves: score-SDE (``assets/stats`` of
  https://github.com/yang-song/score_sde). Its evaluation takes their unbiased covariance.

No such file says of which network the features are: it must be the extractor in use.

The reference batches of guided-diffusion (https://github.com/openai/guided-diffusion, evaluations)
hold some samples, and statistics of more samples than these.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genbench.api import TensorSamples
from genbench.api.errors import DataError
from genbench.io.arrays import holds_statistics, statistics_among
from genbench.io.files import fitting, load, shown
from genbench.io.numpy_files import Array, NpzReader
from genbench.store import fingerprint, hash_tensor

ROUNDING = 1e-5
"""Of the largest entry, or of the trace: as far as a covariance that was summed and stored in
float32 may be from symmetric and positive semi-definite."""

_ROWS = 4096
"""Features that are turned into float64 at a time."""


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of features, as they were published."""

    id: str
    """``file:NAME@hash``."""
    mean: Tensor
    """``(D,)`` float64."""
    covariance: Tensor
    """``(D, D)`` float64, symmetric."""
    count: int | None
    """The number of samples behind them, if the file states it."""


@dataclass(frozen=True)
class ReadSamples(TensorSamples):
    """Samples of a file or an array, and what else it holds."""

    moments: Moments | None = None
    """Statistics that the file holds beside the samples, for metrics that need no more."""
    notes: tuple[str, ...] = ()
    """What a user must know of how they were read, a line each."""


def open_moments(path: Path) -> Moments | None:
    """The statistics in an ``.npz`` file; ``None`` if ``path`` is none, or holds samples.

    Raises ``DataError`` if the file cannot be read, and as ``moments_of`` does.
    """
    if path.suffix.lower() != ".npz" or os.path.isdir(path):
        return None
    where = shown(path)
    with fitting(where):
        held = load(path, _read)
        return None if held is None else moments_of(where, shown(path.name), held)


def _read(where: str, file: BufferedReader) -> dict[str, Array] | None:
    archive = NpzReader(where, file)
    if not holds_statistics(archive):
        return None
    return {name: archive[name] for name in statistics_among(archive)}


def moments_of(where: str, name: str, held: Mapping[str, Array]) -> Moments:
    """The statistics in the arrays of the file ``name``. Raises ``DataError`` if they are not
    finite, not of matching shapes, or no covariance."""
    for array_name, array in held.items():
        if array.dtype.kind not in "iuf":
            raise DataError(f"{where}: {array_name} is of type {array.dtype}, not of numbers")
    if "pool_3" in held:
        features = _native(held["pool_3"])
        count: int | None = len(features)
        mean, covariance = _of_features(where, features)
        content = hash_tensor(features)
    else:
        mean, covariance = _native(held["mu"]).double(), _native(held["sigma"]).double()
        count, content = None, hash_tensor(mean, covariance)
        covariance = _checked(where, mean, covariance)
    return Moments(f"file:{name}@{fingerprint(['statistics', content])}", mean, covariance, count)


def _native(array: Array) -> Tensor:
    """In a type, a byte order and a memory order that torch has."""
    narrow = array.dtype.kind == "f" and array.dtype.itemsize <= 4
    with np.errstate(over="ignore"):  # what overflows is infinite, and refused
        return torch.from_numpy(np.ascontiguousarray(array, np.float32 if narrow else np.float64))


def _of_features(where: str, features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and unbiased covariance of ``(N, D)``, in float64."""
    if features.ndim != 2 or len(features) < 2 or features.shape[1] == 0:
        raise DataError(
            f"{where}: pool_3 has the shape {tuple(features.shape)}, not (N, D) with N > 1"
        )
    mean = features.mean(0, dtype=torch.float64)
    scatter = mean.new_zeros(len(mean), len(mean))
    for start in range(0, len(features), _ROWS):
        offset = features[start : start + _ROWS].double() - mean
        scatter.addmm_(offset.T, offset)
    if not scatter.isfinite().all():
        raise DataError(f"{where}: pool_3 holds NaN or infinity")
    return mean, scatter / (len(features) - 1)


def _checked(where: str, mean: Tensor, covariance: Tensor) -> Tensor:
    """The covariance, exactly symmetric."""
    size = len(mean) if mean.ndim == 1 else 0
    if size == 0 or covariance.shape != (size, size):
        raise DataError(
            f"{where}: mu has the shape {tuple(mean.shape)} and sigma {tuple(covariance.shape)}, "
            "not (D,) and (D, D)"
        )
    if not (mean.isfinite().all() and covariance.isfinite().all()):
        raise DataError(f"{where}: mu or sigma holds NaN or infinity")
    if (covariance - covariance.T).abs().max() > ROUNDING * covariance.abs().max():
        raise DataError(f"{where}: sigma is no covariance: it is not symmetric")
    symmetric = (covariance + covariance.T) / 2
    # Has a Cholesky factor where no eigenvalue is below what is added; the smallest number that
    # there is, for features that are all constant.
    added = ROUNDING * symmetric.trace() + torch.finfo(torch.float64).tiny
    _, failed = torch.linalg.cholesky_ex(symmetric + added * torch.eye(size, dtype=torch.float64))
    if failed:
        raise DataError(f"{where}: sigma is no covariance: it has negative eigenvalues")
    return symmetric
