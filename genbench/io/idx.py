"""The IDX format in which MNIST and Fashion-MNIST are published, read strictly.

Format: Y. LeCun, C. Cortes and C. J. C. Burges, "The MNIST database of handwritten digits": two
zero bytes, the element type (8: unsigned byte), the number of axes, each axis as a big-endian
32-bit integer, then the elements in row-major order.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import torch
from torch import Tensor

from genbench.api.errors import DataError
from genbench.store import read_regular


def read_idx(path: Path, axes: int) -> Tensor:
    """The uint8 tensor with that number of axes in an IDX file (``.gz``: gzipped).

    Raises ``DataError`` if the file is missing, empty, truncated, corrupt, of another type or
    number of axes, longer or shorter than its header says, or holds nothing.
    """
    data = _contents(path)
    if not data:
        raise DataError(f"{path}: the file is empty")
    magic = bytes([0, 0, 8, axes])
    if data[:4] != magic:
        raise DataError(
            f"{path}: not an IDX file of bytes with {axes} axes (wrong magic {data[:4].hex()})"
        )
    start = 4 + 4 * axes
    if len(data) < start:
        raise DataError(f"{path}: truncated inside its header")
    shape = [int.from_bytes(data[at : at + 4], "big") for at in range(4, start, 4)]
    size, promised = len(data) - start, math.prod(shape)
    if size < promised:
        raise DataError(f"{path}: truncated: {size} of {promised} bytes")
    if size > promised:
        raise DataError(f"{path}: {size - promised} bytes more than its header says")
    if promised == 0:
        raise DataError(f"{path}: holds zero images or labels")
    # A bytearray, since torch warns about memory that it must not write to.
    return torch.frombuffer(bytearray(data), dtype=torch.uint8, offset=start).reshape(shape)


def _contents(path: Path) -> bytes:
    try:
        raw = read_regular(path)
        return gzip.decompress(raw) if path.suffix == ".gz" and raw else raw
    except EOFError as error:
        raise DataError(f"{path}: truncated: the gzip stream ends early") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: not a gzip file, or a damaged one ({error})") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
