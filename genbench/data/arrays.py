"""Files of samples: ``.npz``, ``.npy``, ``.pt`` and ``.safetensors``.

A file with several arrays calls its samples ``samples``, ``images`` or ``arr_0``; a single array
may have any name. ``genbench.data.interpret`` says what the array means, and which other entries
(in safetensors: metadata) may say so. Objects are never unpickled: a file that would need it, and
could so run code, is refused.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from genbench.data.interpret import Array, Content, interpret
from genbench.errors import DataError, UsageError
from genbench.storage import write_bytes
from genbench.types import TensorSamples

NAMES = ("samples", "images", "arr_0")
_BESIDE = ("labels", "modality", "levels", "classes")
_ZIP = b"PK"


def npz(argument: str, data_dir: Path) -> TensorSamples:
    """The samples in an ``.npz`` file, images or points; ``data_dir`` is not used.

    Raises ``UsageError`` without a path, and ``DataError`` as ``read_file`` does.
    """
    if not argument:
        raise UsageError("dataset 'npz' needs a path: npz:PATH")
    return _load(Path(os.path.expanduser(argument)), _read_npz)


def read_file(path: Path) -> TensorSamples:
    """The samples in a file whose suffix is ``.npz``, ``.npy``, ``.pt`` or ``.safetensors``.

    Raises ``DataError`` where the file is missing, empty, truncated, damaged, not of the format
    that its suffix says, would need unpickling of code, or as ``interpret`` does.
    """
    readers = {
        ".npz": _read_npz,
        ".npy": _read_npy,
        ".pt": _read_pt,
        ".safetensors": _read_safetensors,
    }
    return _load(path, readers[path.suffix])


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


def _load(path: Path, read: Callable[[Path, BufferedReader], Content]) -> TensorSamples:
    try:
        with path.open("rb") as file:
            if not file.peek(1):
                raise DataError(f"{path}: the file is empty")
            content = read(path, file)
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # numpy, zipfile, zlib and torch raise anything on damaged files
        cause = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{path}: truncated or damaged ({cause})") from error
    return interpret(path, content)


def _read_npz(path: Path, file: BufferedReader) -> Content:
    _check_magic(path, file, "an .npz file", _ZIP)
    with _refusing_objects(path), np.load(file, allow_pickle=False) as archive:
        return _gather(path, archive.files, lambda name: _member(path, name, archive[name]))


def _read_npy(path: Path, file: BufferedReader) -> Content:
    _check_magic(path, file, "an .npy file", b"\x93NUMPY")
    with _refusing_objects(path):
        return Content(np.load(file, allow_pickle=False))


def _read_pt(path: Path, file: BufferedReader) -> Content:
    # A zip archive, or what torch wrote before version 1.6: a stream of pickles of protocol 2.
    _check_magic(path, file, "a PyTorch file", _ZIP, pickle.PROTO + b"\x02")
    try:
        held = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _needs_code(path) from error
    if isinstance(held, Tensor):
        return Content(_array(path, "the tensor", held))
    if not isinstance(held, dict):
        raise DataError(f"{path}: holds a {type(held).__name__}, not a tensor or a dict of them")
    return _gather(path, held, lambda name: _array(path, name, held[name]))


def _read_safetensors(path: Path, file: BufferedReader) -> Content:
    # Eight bytes of length, then a JSON object.
    if file.read(9)[8:] != b"{":
        raise DataError(f"{path}: not a safetensors file (wrong magic)")
    with safe_open(path, framework="pt") as held:
        said: Mapping[str, str] = held.metadata() or {}
        names = set(held.keys())

        def get(name: str) -> Array:
            return _array(path, name, held.get_tensor(name) if name in names else said[name])

        return _gather(path, names, get, said)


def _gather(
    path: Path, names: Iterable[str], get: Callable[[str], Array], said: Iterable[str] = ()
) -> Content:
    """``names`` are those of the arrays, ``said`` those of further facts."""
    names = set(names)
    candidates = names.difference(_BESIDE)
    chosen = [name for name in NAMES if name in names][:1] or list(candidates)
    if len(chosen) != 1:
        held = ", ".join(sorted(map(str, candidates))) or "no array"
        raise DataError(f"{path}: holds {held}; call the array of samples 'samples'")
    beside = {name: get(name) for name in _BESIDE if name in names or name in said}
    return Content(
        samples=get(chosen[0]),
        labels=beside.get("labels"),
        modality=_text(path, "modality", beside.get("modality")),
        levels=_integer(path, "levels", beside.get("levels")),
        classes=_integer(path, "classes", beside.get("classes")),
    )


def _member(path: Path, name: str, value: object) -> Array:
    """An entry of an archive, which numpy gives as bytes where it is no array."""
    if isinstance(value, np.ndarray):
        return value
    raise DataError(f"{path}: {name} is not an array")


def _array(path: Path, name: str, value: object) -> Array:
    if isinstance(value, Tensor):
        # numpy has no bfloat16.
        return (value.float() if value.dtype == torch.bfloat16 else value).detach().numpy()
    if isinstance(value, (int, str)):
        return np.asarray(value)
    raise DataError(f"{path}: {name} is a {type(value).__name__}, not a tensor")


def _text(path: Path, name: str, value: Array | None) -> str | None:
    if value is None:
        return None
    if value.dtype.kind != "U" or value.ndim:
        raise DataError(f"{path}: {name} is {value}, not a text")
    return str(value)


def _integer(path: Path, name: str, value: Array | None) -> int | None:
    if value is None:
        return None
    if not str(value).isdecimal():
        raise DataError(f"{path}: {name} is {value}, not a whole number")
    return int(value)


def _check_magic(path: Path, file: BufferedReader, kind: str, *magic: bytes) -> None:
    """Tell another format from a damaged file, and a bare pickle from both."""
    start = file.read(8)
    file.seek(0)
    if start.startswith(magic):
        return
    if start[:1] == pickle.PROTO:
        raise _needs_code(path)
    raise DataError(f"{path}: not {kind} (wrong magic)")


@contextmanager
def _refusing_objects(path: Path) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        if "allow_pickle" in str(error):  # what numpy names when an array of objects is met
            raise _needs_code(path) from error
        raise


def _needs_code(path: Path) -> DataError:
    return DataError(
        f"{path}: refused: reading it would unpickle objects, which can run code; save plain arrays"
    )
