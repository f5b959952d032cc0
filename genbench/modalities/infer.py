"""What an array of samples means.

Beside the samples a file may say what they are:

- ``modality``: with it, the array is taken as ``(N, *shape)`` in the stored view, as it stands;
- ``levels``: samples are integers ``0 … levels-1``; absent beside a modality, they are real;
- ``rate``: Hz, or frames a second;
- ``condition.NAME``: what the samples are conditioned on: ``(N,)`` integers, of ``count.NAME``
  classes; ``(N, T)`` integers, tokens of a vocabulary of ``count.NAME``, 0 for padding; ``(N, D)``
  reals (absent counts: as many as the values need). ``text.NAME``: the words of the tokens, a JSON
  list. ``labels`` and ``classes`` stand for ``condition.label`` and ``count.label``.

Without a modality, the array says itself what it holds:

- reals ``(N, D)`` are points;
- ``(N, C, H, W)``, ``(N, H, W, C)`` and ``(N, H, W)`` are images, the channel axis being the one of
  length 1 or 3. Integers are levels, of 256 unless ``levels`` says otherwise; reals must lie in
  [0, 1] and become the nearest level (ties to even). Those that rounding has put beyond, by
  ``TOLERANCE`` and half a level at most, become the first or the last level, and a note says so.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from genbench.api import (
    LENGTH,
    Categorical,
    ConditionSpec,
    SampleSpec,
    Text,
    Vector,
)
from genbench.api.errors import DataError
from genbench.io.arrays import CLASSES, Content
from genbench.io.moments import ReadSamples
from genbench.io.numpy_files import Array
from genbench.modalities import impossible
from genbench.store import in_memory

TOLERANCE = 1e-3
"""As far as float16 may be from a number in [0, 1], about its precision at 1."""

_CHANNELS = (1, 3)
_IMAGES = "(N, C, H, W), (N, H, W, C) or (N, H, W) with 1 or 3 channels"


def infer_spec(where: str, content: Content, kind: str, name: str) -> ReadSamples:
    """Samples by the rules above, with the id ``kind:name@hash``.

    Raises ``DataError``, which begins with ``where``, when the array is empty, not of numbers,
    holds NaN or infinity, has levels or labels out of range, or can be understood in two ways.
    """
    array = _numbers(where, content.samples)
    notes: tuple[str, ...] = ()
    if content.levels is not None and not 2 <= content.levels <= 2**16:
        raise DataError(f"{where}: levels must be 2 to 65536, not {content.levels}")
    if content.modality is not None:
        modality, levels = content.modality, content.levels
        data = _reals(where, array, modality) if levels is None else _levels(where, array, levels)
    elif array.ndim == 2 and array.dtype.kind == "f":
        modality, levels = "points", None
        data = _tensor(array)
    else:
        modality, levels = "image", content.levels or 256
        images = _channels_first(where, array)
        quantised, notes = _quantised(where, images, levels)
        data = _levels(where, quantised, levels)
    condition: dict[str, ConditionSpec] = {}
    values: dict[str, Tensor] = {}
    for key, given in content.conditions.items():
        entry = "labels" if key == "label" else f"condition.{key}"
        count = content.counts.get(key)
        condition[key], values[key] = _condition(f"{where}: {entry}", given, len(data), count)
    spec = SampleSpec(modality, tuple(data.shape[1:]), levels, condition, content.rate)
    if (reason := impossible(spec)) is not None:
        raise DataError(f"{where}: {reason}")
    if LENGTH in values and not torch.equal(spec.pad(data, values[LENGTH]), data):
        raise DataError(f"{where}: samples are not zero beyond their length")
    for key, words in content.texts.items():
        if key not in condition or len(words) != len(data):
            raise DataError(f"{where}: text.{key} goes with {len(data)} rows of condition.{key}")
    samples = in_memory(kind, name, spec, data, values, content.texts)
    return ReadSamples(**vars(samples), notes=notes)


def _numbers(where: str, array: Array) -> Array:
    """The array as integers or finite float32, with at least one sample."""
    if array.dtype.kind not in "iuf":
        raise DataError(f"{where}: samples of type {array.dtype}, not integers or reals")
    if array.ndim < 2:
        raise DataError(f"{where}: an array of shape {array.shape} holds no batch of samples")
    if array.size == 0:
        raise DataError(f"{where}: zero samples: the array has the shape {array.shape}")
    if array.dtype.kind != "f":
        return array
    with np.errstate(over="ignore"):  # what overflows is infinite, and refused below
        array = np.ascontiguousarray(array, dtype=np.float32)
    bad = int((~np.isfinite(array)).reshape(len(array), -1).any(axis=1).sum())
    if bad:
        raise DataError(f"{where}: {bad} of {len(array)} samples hold NaN or infinity, in float32")
    return array


def _reals(where: str, array: Array, modality: str) -> Tensor:
    if array.dtype.kind != "f":
        raise DataError(f"{where}: samples of modality {modality!r} without levels must be reals")
    return _tensor(array)


def _levels(where: str, array: Array, levels: int) -> Tensor:
    """Integers 0 … levels-1, uint8 up to 256 levels, int32 above."""
    if array.dtype.kind == "f":
        raise DataError(f"{where}: samples with {levels} levels must be integers, not reals")
    low, high = array.min(), array.max()
    if low < 0 or high > levels - 1:
        raise DataError(f"{where}: values run from {low} to {high}, not within 0…{levels - 1}")
    dtype = np.uint8 if levels <= 256 else np.int32
    return _tensor(np.ascontiguousarray(array, dtype=dtype))


def _tensor(array: Array) -> Tensor:
    """torch knows no arrays that cannot be written to."""
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _channels_first(where: str, array: Array) -> Array:
    """``(N, C, H, W)`` from any order of axes that can be meant in one way only."""
    shape = array.shape
    if array.ndim == 3:
        # (3, H, W) and (H, W, 3) are more likely one picture than three, or pictures 3 wide.
        if shape[0] in _CHANNELS or shape[2] in _CHANNELS:
            raise DataError(f"{where}: shape {shape} may be one picture; save it as {_IMAGES}")
        return array[:, None]
    if array.ndim != 4:
        raise DataError(f"{where}: shape {shape} is neither points (N, D) of reals nor {_IMAGES}")
    first, last = shape[1] in _CHANNELS, shape[3] in _CHANNELS
    if first and last:
        raise DataError(f"{where}: shape {shape} is ambiguous: channels may come first or last")
    if not (first or last):
        raise DataError(f"{where}: shape {shape} has no axis of 1 or 3 channels; save {_IMAGES}")
    return array if first else np.moveaxis(array, 3, 1)


def _quantised(where: str, images: Array, levels: int) -> tuple[Array, tuple[str, ...]]:
    """Integers, and what is to be said of them."""
    if images.dtype.kind != "f":
        return images, ()
    low, high = images.min(), images.max()
    most = min(TOLERANCE, 0.5 / (levels - 1))
    if low < -most or high > 1 + most:
        if low >= -1 - most and high <= 1 + most:
            fix = "rescale them by (x + 1) / 2"
        elif low >= 0 and high <= levels - 1:
            fix = f"divide them by {levels - 1}"
        else:
            fix = f"rescale them, or save integers 0…{levels - 1}"
        raise DataError(f"{where}: real images must lie in [0, 1], not {low:g} to {high:g}; {fix}")
    quantised: Array = np.rint(images * (levels - 1)).clip(0, levels - 1).astype(np.int32)
    if low >= 0 and high <= 1:
        return quantised, ()
    beyond = max(-low, high - 1)
    said = f"real values beyond [0, 1] by up to {beyond:.1g} were clipped (at most {most:.1g} is)"
    return quantised, (said,)


def _condition(
    what: str, array: Array, count: int, classes: int | None
) -> tuple[ConditionSpec, Tensor]:
    """The kind of a condition, by its type and shape, and its ``count`` rows."""
    kind, shape = array.dtype.kind, array.shape
    if kind == "f" and array.ndim == 2 and shape[0] == count:
        vectors = torch.from_numpy(array.astype(np.float32))
        if not vectors.isfinite().all():
            raise DataError(f"{what} holds NaN or infinity")
        return Vector(shape[1]), vectors
    if kind not in "iu" or array.ndim > 2 or shape[:1] != (count,) or array.size == 0:
        raise DataError(f"{what} must be {count} integers, not {array.dtype} of shape {shape}")
    low, high = int(array.min()), int(array.max())
    known = min(high + 1, CLASSES) if classes is None else classes
    if low < 0 or high >= known:
        raise DataError(f"{what} run from {low} to {high}, not within 0…{known - 1}")
    values = torch.from_numpy(array.astype(np.int64))
    return Categorical(known) if array.ndim == 1 else Text(shape[1], known), values
