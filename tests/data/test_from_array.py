"""Arrays and tensors as samples: what a file of the same numbers would be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genbench.api.errors import DataError
from genbench.data import from_array
from genbench.data.files import read_file

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (5, 4, 6), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (5, 3, 4, 6), dtype=np.uint8)
POINTS = RNG.normal(size=(5, 2))


@pytest.mark.parametrize(
    "array",
    [
        COLOUR,
        np.moveaxis(COLOUR, 1, 3),
        GREY[:, ::-1],
        COLOUR.astype(np.float32) / 255,
        POINTS,
        POINTS.astype(np.float32),
    ],
)
def test_an_array_is_read_as_the_file_that_holds_it(tmp_path, array):
    np.save(tmp_path / "x.npy", array)
    known = read_file(tmp_path / "x.npy")
    still = array.copy()
    still.flags.writeable = False
    for given in (array, still, torch.from_numpy(array.copy())):
        samples = from_array(given, "reference")
        assert samples.spec == known.spec
        assert torch.equal(samples.data, known.data)
        assert samples.id == f"array:reference@{known.id.partition('@')[2]}"


def test_tensors_that_numpy_does_not_know():
    tensor = torch.full((2, 3), 0.5, dtype=torch.bfloat16, requires_grad=True)
    assert torch.equal(from_array(tensor).data, torch.full((2, 3), 0.5))


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        ([[1.0, 2.0]], "mine is a list, not a tensor or an array"),
        (np.ma.masked_array(POINTS), "mine is a MaskedArray, not a tensor or an array"),
        (torch.zeros(3, 2).to_sparse(), "mine is a tensor that is no plain array"),
        (torch.zeros(3, 2, device="meta"), "mine is a tensor that is no plain array"),
        (np.array([[None]]), "mine: samples of type object"),
        (np.full((2, 2), np.nan), "mine: 2 of 2 samples hold NaN"),
        (np.zeros(3), "mine: an array of shape (3,) holds no batch"),
        (7, "mine: an array of shape () holds no batch"),
    ],
)
def test_what_is_no_array_of_samples(value, cause):
    with pytest.raises(DataError) as caught:
        from_array(value, "mine")
    assert cause in str(caught.value)
    assert "\n" not in str(caught.value)
