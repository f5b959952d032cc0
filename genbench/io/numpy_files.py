"""``.npy`` and ``.npz`` files: arrays of plain numbers that take no more memory than they have.

Format: ``numpy.lib.format``; an ``.npz`` is a zip archive of ``.npy`` files. numpy allocates what a
header promises before it reads; here the header is first compared with the bytes in the file.
"""

from __future__ import annotations

import math
import os
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from io import BufferedReader
from typing import IO, Any, TypeAlias

import numpy as np

from genbench.api.errors import DataError
from genbench.io.files import shown

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"

ZIP = b"PK"
EXPANSION = 1032
"""The most bytes that zlib can make of one (zlib's technical details)."""

_NPY = b"\x93NUMPY"
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class NpzReader(Mapping[str, Array]):
    """The arrays of an ``.npz`` file by name, each read when it is asked for.

    Raises ``DataError`` for an entry that is encrypted, is no array, is an array of objects, or
    promises more bytes than the file holds. Other damage raises what ``zipfile``, ``zlib`` and
    numpy raise.
    """

    def __init__(self, where: str, file: BufferedReader) -> None:
        check_magic(where, file, "an .npz file", ZIP)
        self._where = where
        self._size = size_of(file)
        self._zip = zipfile.ZipFile(file)
        self._entries = {e.filename.removesuffix(".npy"): e for e in self._zip.infolist()}

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, name: str) -> Array:
        entry = self._entries[name]
        where = f"{self._where}: {shown(name)}"
        if entry.flag_bits & 1:
            raise DataError(f"{where} is encrypted; save it without a password")
        expansion = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: EXPANSION}
        if entry.compress_type not in expansion:
            raise DataError(f"{where} is compressed as numpy never does; save it with numpy.savez")
        # The size before compression that the archive states is not used: it may be wrong.
        most = expansion[entry.compress_type] * min(entry.compress_size, self._size)
        with self._zip.open(entry) as stream:
            if stream.read(len(_NPY)) != _NPY:
                raise DataError(f"{where} is not an array")
            stream.seek(0)
            return _read(where, stream, most)


def read_npy(where: str, file: BufferedReader) -> Array:
    """The array in an ``.npy`` file. Raises as ``NpzReader`` does."""
    check_magic(where, file, "an .npy file", _NPY)
    return _read(where, file, size_of(file))


def check_magic(where: str, file: BufferedReader, kind: str, *magic: bytes) -> None:
    """Distinguish another format from a damaged file, and a pickle from both. Raises ``DataError``
    unless the file begins with one of ``magic``."""
    start = file.read(8)
    file.seek(0)
    if start.startswith(magic):
        return
    if start[:1] == pickle.PROTO:
        raise needs_code(where)
    raise DataError(f"{where}: not {kind} (wrong magic)")


def needs_code(where: str) -> DataError:
    return DataError(
        f"{where}: refused: reading it would unpickle objects, which can run code; save plain "
        "arrays"
    )


def size_of(file: BufferedReader) -> int:
    """Bytes in an open file."""
    return os.fstat(file.fileno()).st_size


def _read(where: str, stream: IO[bytes], most: int) -> Array:
    """``most``: bytes that the header and the array cannot exceed."""
    read_header = _HEADERS.get(np.lib.format.read_magic(stream))
    if read_header is None:
        raise DataError(
            f"{where}: an array of records, or in a format of numpy's that is not known"
        )
    shape, _, dtype = read_header(stream)
    if dtype.hasobject:
        raise needs_code(where)
    promised = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or promised > most - stream.tell():
        raise DataError(
            f"{where}: truncated or damaged (its header promises the shape {shape} of {dtype}, "
            "which is not there)"
        )
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)
