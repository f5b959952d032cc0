"""Arrays, and files of them in every format that is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from genbench.api.errors import DataError
from genbench.data.files import read_file

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (5, 4, 6), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (5, 3, 4, 6), dtype=np.uint8)
POINTS = RNG.normal(size=(5, 2))
SUFFIXES = [".npz", ".npy", ".pt", ".safetensors"]


def saved(path: Path, array: np.ndarray) -> Path:
    """An array in the format that the suffix says."""
    tensor = torch.from_numpy(array.copy())
    if path.suffix == ".npz":
        np.savez(path, samples=array)
    elif path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".pt":
        torch.save(tensor, path)
    else:
        safetensors.torch.save_file({"samples": tensor.contiguous()}, path)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_file(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def refused(tmp_path: Path, **entries) -> str:
    path = tmp_path / "samples.npz"
    np.savez(path, **entries)
    return refusal(path)
