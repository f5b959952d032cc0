"""Files of samples: ``.npz``, ``.npy``, ``.pt``, ``.pth`` and ``.safetensors``.

A file with several arrays calls its samples ``samples``, ``images`` or ``arr_0``; a single array
may have any name. Beside ``arr_0``, ``arr_1`` holds the labels if it can, as in the files of
guided-diffusion. ``genbench.modalities.infer`` says what the array means, and which other entries
(in safetensors: metadata) may say so. Objects are never unpickled: a file that would need it, and
could so run code, is refused.
"""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from genbench.api import Categorical, SampleSpec, TensorSamples, Text
from genbench.api.errors import DataError
from genbench.io.files import cause, listed, load, shown
from genbench.io.numpy_files import (
    EXPANSION,
    ZIP,
    Array,
    NpzReader,
    check_magic,
    needs_code,
    read_npy,
    size_of,
)
from genbench.store import pack_tensors, unpack_tensors, write_bytes

NAMES = ("samples", "images", "arr_0")
_FACTS = ("modality", "levels", "rate")
_OLD = {"labels": "condition.label", "classes": "count.label"}
"""How the condition ``label`` has always been written, and is."""
_PARTS = ("condition", "count", "text")
CLASSES = 2**31
"""Numbers above are no classes, but something else, such as hashes."""
_FLOATS = (torch.float16, torch.float32, torch.float64)
"""Those that numpy has too."""


@dataclass(frozen=True)
class Content:
    """What a file says, or an array alone."""

    samples: Array
    modality: str | None = None
    levels: int | None = None
    rate: float | None = None
    conditions: Mapping[str, Array] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    """Of the classes of a condition, or of the tokens in its vocabulary."""
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    statistics: Mapping[str, Array] = field(default_factory=dict)
    """Published statistics beside the samples, as ``genbench.io.moments`` has them."""


def read_content(path: Path, suffix: str) -> Content:
    """What a file of samples holds, in the format of ``suffix``, in upper or lower case: ``.npz``,
    ``.npy``, ``.pt``, ``.pth`` or ``.safetensors``.

    Raises ``DataError`` if the file is missing, empty, truncated, damaged, not of that format,
    holds statistics instead, or would need unpickling of code.
    """
    readers = {
        ".npz": _read_npz,
        ".npy": _read_npy,
        ".pt": _read_pt,
        ".pth": _read_pt,
        ".safetensors": _read_safetensors,
    }
    return load(path, readers[suffix.lower()])


def save_npz(
    path: Path, samples: TensorSamples, beside: Mapping[str, Tensor] | None = None
) -> None:
    """Write samples so that reading the file gives them back: spec, data, conditions and texts.
    ``beside``: further arrays, which whoever reads the samples leaves aside.

    Raises ``GenbenchError`` if the file cannot be written; an old one is then intact.
    """
    arrays, facts = _entries(samples)
    arrays |= beside or {}
    entries: dict[str, Any] = {name: value.cpu().numpy() for name, value in arrays.items()}
    buffer = BytesIO()
    np.savez(buffer, **entries, **facts)
    write_bytes(path, buffer.getvalue())


def pack_samples(samples: TensorSamples) -> bytes:
    """The same as the bytes of a safetensors file."""
    arrays, facts = _entries(samples)
    return pack_tensors(arrays, {name: str(value) for name, value in facts.items()})


def unpack_samples(data: bytes, spec: SampleSpec, identity: str) -> TensorSamples:
    """What ``pack_samples`` made of samples of ``spec``."""
    length = int.from_bytes(data[:8], "little")
    said = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    tensors = unpack_tensors(data)
    samples = tensors.pop("samples")
    condition = {_split(name)[1]: value for name, value in tensors.items()}
    texts = {
        _split(name)[1]: json.loads(value)
        for name, value in said.items()
        if name.startswith("text.")
    }
    return TensorSamples(spec, identity, samples, condition, texts)


def _entries(samples: TensorSamples) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Arrays, the samples first, and further facts, by the names that they have in a file."""
    spec = samples.spec
    arrays = {"samples": samples.data}
    facts: dict[str, Any] = {"modality": spec.modality}
    facts |= {} if spec.levels is None else {"levels": spec.levels}
    facts |= {} if spec.rate is None else {"rate": spec.rate}
    for name, value in samples.condition.items():
        declared = spec.condition[name]
        if isinstance(declared, Categorical):
            old = name == "label"
            arrays["labels" if old else f"condition.{name}"] = value
            facts["classes" if old else f"count.{name}"] = declared.count
            continue
        arrays[f"condition.{name}"] = value
        if isinstance(declared, Text):
            facts[f"count.{name}"] = declared.vocabulary
    for name, words in samples.texts.items():
        facts[f"text.{name}"] = json.dumps(list(words), ensure_ascii=False)
    return arrays, facts


def _split(entry: str) -> tuple[str, str]:
    """``condition.caption`` → ``("condition", "caption")``; of another entry, two empty texts."""
    part, _, name = _OLD.get(entry, entry).partition(".")
    return (part, name) if part in _PARTS and name else ("", "")


def statistics_among(names: Collection[str]) -> tuple[str, ...]:
    """The names of those arrays that are published statistics."""
    if "mu" in names and "sigma" in names:
        return "mu", "sigma"
    return ("pool_3",) if "pool_3" in names else ()


def holds_statistics(names: Collection[str]) -> bool:
    """Whether arrays of these names are published statistics and no samples."""
    return bool(statistics_among(names)) and not any(name in names for name in NAMES)


def as_array(where: str, value: object) -> Array:
    """A numpy array of what is one, a tensor on any device, or a plain number or text.

    Raises ``DataError`` for anything else.
    """
    if isinstance(value, Tensor):
        try:
            tensor = value.detach().cpu().resolve_conj().resolve_neg()
            if tensor.is_floating_point() and tensor.dtype not in _FLOATS:
                tensor = tensor.float()
            return tensor.numpy()
        except (RuntimeError, TypeError, NotImplementedError) as error:
            raise DataError(
                f"{where} is a tensor that is no plain array ({cause(error)})"
            ) from error
    if isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray):
        return value
    if isinstance(value, (int, str)):
        return np.asarray(value)
    raise DataError(f"{where} is a {type(value).__name__}, not a tensor or an array")


def _read_npz(where: str, file: BufferedReader) -> Content:
    archive = NpzReader(where, file)
    if holds_statistics(archive):
        raise DataError(
            f"{where}: holds statistics, not samples: give this file as the reference of "
            "frechet_distance"
        )
    content = _gather(where, archive, archive.__getitem__)
    statistics = {name: archive[name] for name in statistics_among(archive)}
    # Beside samples, mu and sigma may also be those of a normalisation, or of each sample.
    axes = [array.ndim for array in statistics.values()]
    return replace(content, statistics=statistics) if axes in ([1, 2], [2]) else content


def _read_npy(where: str, file: BufferedReader) -> Content:
    return Content(read_npy(where, file))


def _read_pt(where: str, file: BufferedReader) -> Content:
    # A zip archive, or what torch wrote before version 1.6: a stream of pickles of protocol 2.
    check_magic(where, file, "a PyTorch file", ZIP, pickle.PROTO + b"\x02")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of programs in TorchScript, which are refused below
            held = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise needs_code(where) from error
    except RuntimeError as error:
        if "TorchScript" in str(error):
            raise needs_code(where) from error
        raise
    most = EXPANSION * size_of(file)
    if isinstance(held, Tensor):
        return Content(_whole(f"{where}: the tensor", held, most))
    if not isinstance(held, dict):
        raise DataError(f"{where}: holds a {type(held).__name__}, not a tensor or a dict of them")
    return _gather(where, held, lambda name: _whole(f"{where}: {shown(name)}", held[name], most))


def _read_safetensors(where: str, file: BufferedReader) -> Content:
    # Eight bytes of length, then a JSON object.
    if file.read(9)[8:] != b"{":
        raise DataError(f"{where}: not a safetensors file (wrong magic)")
    with safe_open(file.name, framework="pt") as held:
        said = held.metadata() or {}
        names = set(held.keys())

        def get(name: str) -> Array:
            # The library's tensor is the file itself, and would change with it.
            value = held.get_tensor(name).clone() if name in names else said[name]
            return as_array(f"{where}: {shown(name)}", value)

        return _gather(where, names, get, said)


def _whole(where: str, value: object, most: int) -> Array:
    """A tensor may be a few numbers that are repeated without end: not above ``most`` bytes."""
    if isinstance(value, Tensor) and value.numel() * value.element_size() > most:
        raise DataError(
            f"{where} has the shape {tuple(value.shape)}, which repeats the few numbers in the file"
        )
    return as_array(where, value)


def _gather(
    where: str, names: Iterable[str], get: Callable[[str], Array], said: Iterable[str] = ()
) -> Content:
    """``names`` are those of the arrays, ``said`` those of further facts."""
    names, said = set(names), set(said)
    beside = sorted(name for name in names | said if name in _FACTS or any(_split(name)))
    candidates = names.difference(beside)
    chosen = [name for name in NAMES if name in names][:1] or list(candidates)
    if len(chosen) != 1:
        held = listed(sorted(map(shown, candidates))) or "no array"
        raise DataError(f"{where}: holds {held}; call the array of samples 'samples'")
    samples = get(chosen[0])
    parts: dict[str, dict[str, Any]] = {"": {}, **{part: {} for part in _PARTS}}
    for name in beside:
        part, key = _split(name)
        value: Any = get(name)
        if name == "labels" and (value.dtype.kind not in "iu" or value.ndim != 1):
            raise DataError(
                f"{where}: labels must be {len(samples)} integers, not {value.dtype} of shape "
                f"{value.shape}"
            )
        if part == "count" or name == "levels":
            value = _integer(where, name, value)
        elif part == "text":
            value = _texts(where, name, value)
        elif name == "modality":
            value = _text(where, name, value)
        elif name == "rate":
            value = _real(where, name, value)
        parts[part][key or name] = value
    if chosen == ["arr_0"] and "arr_1" in names and "label" not in parts["condition"]:
        with suppress(DataError):  # it may be anything
            labels = get("arr_1")
            if _are_labels(labels, len(samples)):
                parts["condition"]["label"] = labels
    return Content(
        samples=samples,
        conditions=parts["condition"],
        counts=parts["count"],
        texts=parts["text"],
        **parts[""],
    )


def _are_labels(array: Array, count: int) -> bool:
    whole = array.dtype.kind in "iu" and array.shape == (count,) and count > 0
    return whole and int(array.min()) >= 0 and int(array.max()) < CLASSES


def _text(where: str, name: str, value: Array) -> str:
    if value.dtype.kind != "U" or value.ndim:
        raise DataError(f"{where}: {name} is {_said(value)}, not a text")
    return str(value)


def _integer(where: str, name: str, value: Array) -> int:
    if not str(value).isdecimal():
        raise DataError(f"{where}: {name} is {_said(value)}, not a whole number")
    return int(value)


def _real(where: str, name: str, value: Array) -> float:
    try:
        number = float(str(value))
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise DataError(f"{where}: {name} is {_said(value)}, not a positive number")
    return number


def _texts(where: str, name: str, value: Array) -> list[str]:
    """From a JSON list, or an array of texts."""
    if value.dtype.kind == "U" and value.ndim == 1:
        return [str(text) for text in value]
    try:
        texts = json.loads(_text(where, name, value))
    except ValueError:
        texts = None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise DataError(f"{where}: {name} is {_said(value)}, not a JSON list of texts")
    return texts


def _said(value: Array) -> str:
    return f"an array of shape {value.shape}" if value.ndim else shown(str(value)[:100])
