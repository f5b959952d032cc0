"""Files of samples: ``.npz``, ``.npy``, ``.pt`` and ``.safetensors``.

A file with several arrays calls its samples ``samples``, ``images`` or ``arr_0``; a single array
may have any name. ``genbench.io.infer`` says what the array means, and which other entries
(in safetensors: metadata) may say so. Objects are never unpickled: a file that would need it, and
could so run code, is refused.
"""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Callable, Collection, Iterable
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from genbench.api import TensorSamples
from genbench.api.errors import DataError, UsageError
from genbench.io.files import cause, fitting, listed, load, shown
from genbench.io.infer import Array, Content, infer_spec
from genbench.io.numpy_files import (
    EXPANSION,
    ZIP,
    NpzReader,
    check_magic,
    needs_code,
    read_npy,
    size_of,
)
from genbench.store import write_bytes

NAMES = ("samples", "images", "arr_0")
_BESIDE = ("labels", "modality", "levels", "classes")
_FLOATS = (torch.float16, torch.float32, torch.float64)
"""Those that numpy has too."""


def npz(argument: str, data_dir: Path) -> TensorSamples:
    """The samples in an ``.npz`` file, images or points; ``data_dir`` is not used.

    Raises ``UsageError`` without a path, and ``DataError`` as ``read_file`` does.
    """
    if not argument:
        raise UsageError("dataset 'npz' needs a path: npz:PATH")
    return _samples(Path(os.path.expanduser(argument)), _read_npz)


def read_file(path: Path) -> TensorSamples:
    """The samples in a file whose suffix is ``.npz``, ``.npy``, ``.pt`` or ``.safetensors``.

    Raises ``DataError`` where the file is missing, empty, truncated, damaged, not of the format
    that its suffix says, holds statistics instead, would need unpickling of code, or as
    ``infer_spec`` does.
    """
    readers = {
        ".npz": _read_npz,
        ".npy": _read_npy,
        ".pt": _read_pt,
        ".safetensors": _read_safetensors,
    }
    return _samples(path, readers[path.suffix])


def save_npz(path: Path, samples: TensorSamples) -> None:
    """Write samples so that reading the file gives them back: spec, data and labels.

    Raises ``GenbenchError`` where the file cannot be written; an old one is then intact.
    """
    spec = samples.spec
    entries: dict[str, Any] = {"samples": samples.data.cpu().numpy(), "modality": spec.modality}
    if spec.levels is not None:
        entries["levels"] = spec.levels
    if "label" in samples.condition:
        entries["labels"] = samples.condition["label"].cpu().numpy()
        entries["classes"] = spec.condition["label"].count
    buffer = BytesIO()
    np.savez(buffer, **entries)
    write_bytes(path, buffer.getvalue())


def holds_statistics(names: Collection[str]) -> bool:
    """Whether arrays of these names are published statistics and no samples."""
    if any(name in names for name in NAMES):
        return False
    return "pool_3" in names or ("mu" in names and "sigma" in names)


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


def _samples(path: Path, read: Callable[[str, BufferedReader], Content]) -> TensorSamples:
    where = shown(path)
    with fitting(where):
        return infer_spec(where, load(path, read), "file", shown(path.name))


def _read_npz(where: str, file: BufferedReader) -> Content:
    archive = NpzReader(where, file)
    if holds_statistics(archive):
        raise DataError(
            f"{where}: holds statistics, not samples: give this file as the reference of "
            "frechet_distance"
        )
    return _gather(where, archive, archive.__getitem__)


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
            value = held.get_tensor(name) if name in names else said[name]
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
    candidates = names.difference(_BESIDE)
    chosen = [name for name in NAMES if name in names][:1] or list(candidates)
    if len(chosen) != 1:
        held = listed(sorted(map(shown, candidates))) or "no array"
        raise DataError(f"{where}: holds {held}; call the array of samples 'samples'")
    beside = {name: get(name) for name in _BESIDE if name in names or name in said}
    return Content(
        samples=get(chosen[0]),
        labels=beside.get("labels"),
        modality=_text(where, "modality", beside.get("modality")),
        levels=_integer(where, "levels", beside.get("levels")),
        classes=_integer(where, "classes", beside.get("classes")),
    )


def _text(where: str, name: str, value: Array | None) -> str | None:
    if value is None:
        return None
    if value.dtype.kind != "U" or value.ndim:
        raise DataError(f"{where}: {name} is {_said(value)}, not a text")
    return str(value)


def _integer(where: str, name: str, value: Array | None) -> int | None:
    if value is None:
        return None
    if not str(value).isdecimal():
        raise DataError(f"{where}: {name} is {_said(value)}, not a whole number")
    return int(value)


def _said(value: Array) -> str:
    return f"an array of shape {value.shape}" if value.ndim else shown(str(value)[:100])
