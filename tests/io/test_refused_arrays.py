"""Files that hold no samples: each is refused in one line that names it, and runs no code."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from array_files import COLOUR, GREY, POINTS, SUFFIXES, refusal, refused, saved

from genbench.api.errors import DataError, UsageError
from genbench.data.files import npz, read_file


@pytest.mark.parametrize(("high", "levels"), [(1.002, 256), (1.01, 2), (1 + 1e-5, 2**16)])
def test_reals_beyond_the_tolerance_are_refused(tmp_path, high, levels):
    reals = np.array([0, high] * 16).reshape(2, 1, 4, 4)
    assert "real images must lie in [0, 1]" in refused(tmp_path, samples=reals, levels=levels)
    reals = np.array([-1 - 1e-7, 1 + 1e-7] * 16).reshape(2, 1, 4, 4)
    assert "rescale them by (x + 1) / 2" in refused(tmp_path, samples=reals)


def test_npz_without_a_path(tmp_path):
    with pytest.raises(UsageError, match="npz:PATH"):
        npz("", tmp_path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_missing_empty_and_foreign_files(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    assert "No such file" in refusal(path)
    path.write_bytes(b"")
    assert "the file is empty" in refusal(path)
    path.write_bytes(b"GIF89a, or something else")
    assert "wrong magic" in refusal(path)
    path.unlink()
    path.mkdir()
    assert "Is a directory" in refusal(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_truncated_files(tmp_path, suffix, share):
    path = saved(tmp_path / f"x{suffix}", COLOUR)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert any(cause in refusal(path) for cause in ("truncated or damaged", "wrong magic"))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_bytes_are_told_in_one_line_or_are_read(tmp_path, suffix):
    path = saved(tmp_path / f"x{suffix}", GREY)
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(60):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), 3):
            data[at] = rng.integers(256)
        path.write_bytes(data)
        try:
            read_file(path)
        except DataError as error:
            assert "\n" not in str(error)  # noqa: PT017 - most damage is refused, some is pixels


class Canary:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("suffix", SUFFIXES[:3])
def test_a_bare_pickle_is_refused_and_not_run(tmp_path, suffix, protocol):
    canary, path = tmp_path / "sang", tmp_path / f"x{suffix}"
    path.write_bytes(pickle.dumps(Canary(canary), protocol))
    assert "refused: reading it would unpickle objects" in refusal(path)
    assert not canary.exists()
    pickle.loads(path.read_bytes())
    assert canary.exists()


def test_arrays_of_objects_are_refused_and_not_run(tmp_path):
    canary = tmp_path / "sang"
    objects = np.array([[Canary(canary)]], dtype=object)
    np.save(tmp_path / "x.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "x.npz", samples=objects)
    for name in ("x.npy", "x.npz"):
        assert "refused: reading it would unpickle objects" in refusal(tmp_path / name)
        assert not canary.exists()
    np.load(tmp_path / "x.npy", allow_pickle=True)
    assert canary.exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_pytorch_files_with_code_are_refused_and_not_run(tmp_path, zipped):
    canary, path = tmp_path / "sang", tmp_path / "x.pt"
    buffer = io.BytesIO()
    torch.save(
        {"samples": torch.zeros(2, 2), "extra": Canary(canary)},
        buffer,
        _use_new_zipfile_serialization=zipped,
    )
    path.write_bytes(buffer.getvalue())
    assert "refused: reading it would unpickle objects" in refusal(path)
    assert not canary.exists()
    torch.load(path, weights_only=False)
    assert canary.exists()


@pytest.mark.parametrize(
    ("array", "cause"),
    [
        (np.zeros((0, 3, 4, 4), np.uint8), "zero samples"),
        (np.zeros((2, 3, 0, 4), np.uint8), "zero samples"),
        (np.zeros(5), "no batch of samples"),
        (np.zeros((2, 2), bool), "type bool"),
        (np.zeros((2, 2), complex), "type complex128"),
        (np.zeros((2, 2), "U3"), "type <U3"),
        (np.zeros((2, 2), np.uint8), "neither points"),
        (np.zeros((2, 3, 4, 4, 3), np.uint8), "neither points"),
        (np.zeros((2, 4, 4, 4), np.uint8), "no axis of 1 or 3 channels"),
        (np.zeros((2, 3, 4, 3), np.uint8), "ambiguous"),
        (np.zeros((2, 1, 4, 3), np.uint8), "ambiguous"),
        (np.zeros((3, 4, 4), np.uint8), "may be one picture"),
        (np.zeros((4, 4, 3), np.uint8), "may be one picture"),
        (np.full((2, 1, 4, 4), 256), "values run from 256 to 256, not within 0…255"),
        (np.full((2, 1, 4, 4), -1), "values run from -1 to -1"),
        (np.array([[0.0, np.nan], [1.0, 2.0]]), "1 of 2 samples hold NaN or infinity"),
        (np.array([[0.0, np.inf], [-np.inf, 2.0]]), "2 of 2 samples hold NaN or infinity"),
        (np.array([[0.0, 1e300]]), "1 of 1 samples hold NaN or infinity"),
        (np.full((2, 1, 4, 4), np.nan), "2 of 2 samples hold NaN"),
        (np.linspace(-1, 1, 32).reshape(2, 1, 4, 4), r"not -1 to 1; rescale them by (x + 1) / 2"),
        (np.linspace(0, 255, 32).reshape(2, 1, 4, 4), "not 0 to 255; divide them by 255"),
        (np.linspace(-9, 300, 32).reshape(2, 1, 4, 4), "not -9 to 300; rescale them, or save"),
    ],
)
def test_arrays_that_are_no_samples(tmp_path, array, cause):
    assert cause in refused(tmp_path, samples=array)


@pytest.mark.parametrize(
    ("entries", "cause"),
    [
        ({"a": GREY, "b": GREY}, "holds a, b; call the array of samples 'samples'"),
        ({"labels": np.arange(5)}, "holds no array"),
        ({"samples": GREY, "levels": 17}, "not within 0…16"),
        ({"samples": GREY, "levels": 1}, "levels must be 2 to 65536, not 1"),
        ({"samples": GREY, "levels": 17.5}, "levels is 17.5, not a whole number"),
        ({"samples": GREY, "levels": "many"}, "levels is many, not a whole number"),
        ({"samples": GREY, "levels": [17, 17]}, "not a whole number"),
        ({"samples": GREY, "modality": 3}, "modality is 3, not a text"),
        ({"samples": GREY, "modality": "image", "levels": 256}, "images have the shape (C, H, W)"),
        ({"samples": POINTS, "modality": "points", "levels": 5}, "must be integers, not reals"),
        ({"samples": COLOUR, "modality": "image"}, "without levels must be reals"),
        ({"samples": GREY, "labels": np.arange(4)}, "labels must be 5 integers"),
        ({"samples": GREY, "labels": np.eye(5)}, "labels must be 5 integers"),
        ({"samples": GREY, "labels": np.arange(5.0)}, "labels must be 5 integers, not float64"),
        ({"samples": GREY, "labels": np.arange(5) - 1}, "labels run from -1 to 3"),
        ({"samples": GREY, "labels": np.arange(5), "classes": 4}, "not within 0…3"),
        ({"samples": GREY, "labels": np.full(5, 2**63, np.uint64)}, "not within 0…2147483647"),
        ({"samples": GREY, "levels": np.zeros((50, 50))}, "levels is an array of shape (50, 50)"),
        ({"mu": np.zeros(3), "sigma": np.eye(3)}, "holds statistics, not samples"),
        ({"pool_3": np.zeros((9, 3)), "logits": np.zeros((9, 2))}, "holds statistics, not"),
    ],
)
def test_entries_that_contradict(tmp_path, entries, cause):
    assert cause in refused(tmp_path, **entries)


def test_pytorch_files_that_hold_no_tensor(tmp_path):
    torch.save([1, 2], tmp_path / "x.pt")
    assert "holds a list, not a tensor" in refusal(tmp_path / "x.pt")
    torch.save({"samples": [1.0]}, tmp_path / "x.pt")
    assert "samples is a list, not a tensor" in refusal(tmp_path / "x.pt")


def test_a_few_numbers_repeated_without_end_are_refused(tmp_path):
    path = tmp_path / "x.pt"
    torch.save(torch.zeros(1, 1, 1, 1).expand(10**9, 3, 32, 32), path)
    assert "repeats the few numbers in the file" in refusal(path)
    grey = torch.from_numpy(GREY)[:, None]
    torch.save(grey.expand(-1, 3, -1, -1), path)  # which is no more than grey made colour
    assert torch.equal(read_file(path).data[:, 1:2], grey)


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (torch.zeros(5, 2).to_sparse(), "no plain array"),
        (torch.zeros(5, 2, dtype=torch.complex64).conj(), "type complex64"),
        (torch.zeros(5, 2, dtype=torch.bool), "type bool"),
    ],
)
def test_tensors_that_are_no_samples(tmp_path, value, cause):
    torch.save(value, tmp_path / "x.pt")
    assert cause in refusal(tmp_path / "x.pt")


def test_a_file_of_weights_is_told_in_a_short_line(tmp_path):
    torch.save({f"layer.{index}": torch.zeros(1) for index in range(500)}, tmp_path / "x.pt")
    assert ", and 480 more; call the array" in refusal(tmp_path / "x.pt")
