"""scikit-learn's 1,797 handwritten digits of 8×8 pixels and 17 grey levels, in two fixed halves.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
Repository, 1998 (its test part, which scikit-learn ships).
"""

from __future__ import annotations

import gzip
import importlib.util
import zlib
from pathlib import Path

import numpy as np
import torch

from genbench.api import Categorical, Samples, SampleSpec
from genbench.api.errors import DataError
from genbench.api.seeding import generator
from genbench.data import choose_split
from genbench.store import in_memory

SEED = 0
"""Of the permutation that parts the halves."""
COUNT = 1797
TRAIN = 898
"""Samples in ``train``; the other 899 are ``test``."""


def digits(argument: str, data_dir: Path) -> Samples:
    """scikit-learn's 8×8 handwritten digits: ``train`` (898) and ``test`` (899), labelled 0–9.

    The stored view is uint8 ``(N, 1, 8, 8)`` in 0…16; labels are int64. ``data_dir`` is not used:
    the file ships with scikit-learn.

    Raises ``UsageError`` for another split, ``DataError`` if scikit-learn's file is missing or is
    not the expected one.
    """
    split = choose_split("digits", argument)
    table = torch.from_numpy(_read(installed_path()))
    order = torch.randperm(COUNT, generator=generator(SEED, "digits split"))
    rows = table[order[:TRAIN] if split == "train" else order[TRAIN:]]
    spec = SampleSpec("image", (1, 8, 8), levels=17, condition={"label": Categorical(10)})
    images = rows[:, :64].reshape(-1, 1, 8, 8).contiguous()
    return in_memory("digits", split, spec, images, {"label": rows[:, 64].long()})


def installed_path() -> Path:
    """Of the file that scikit-learn ships. Raises ``DataError`` if it is not installed."""
    # Importing scikit-learn takes a second, ten times as long as reading the file that it ships.
    package = importlib.util.find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise DataError(
            "digits: scikit-learn, which ships them, is missing: pip install scikit-learn"
        )
    return Path(package.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"


def _read(path: Path) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """64 pixels and the label a row, ``(1797, 65)``."""
    try:
        with gzip.open(path, "rt", encoding="ascii") as file:
            table = np.array([line.split(",") for line in file], dtype=np.float64)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DataError(f"{path}: scikit-learn's digits cannot be read ({error})") from error
    if table.shape != (COUNT, 65) or not np.isin(table, np.arange(17)).all():
        raise DataError(f"{path}: not scikit-learn's {COUNT:,} digits of 8×8 pixels in 0…16")
    return table.astype(np.uint8)
