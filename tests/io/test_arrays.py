"""Files of samples: what they mean, and every way in which one is refused."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import genbench
from genbench.api import Categorical, SampleSpec, TensorSamples
from genbench.api.errors import DataError, UsageError
from genbench.data import open_reference, open_samples
from genbench.data.files import npz, read_file
from genbench.io.arrays import save_npz

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (5, 4, 6), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (5, 3, 4, 6), dtype=np.uint8)
POINTS = RNG.normal(size=(5, 2))


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


SUFFIXES = [".npz", ".npy", ".pt", ".safetensors"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("array", "known"),
    [
        (COLOUR, COLOUR),
        (np.moveaxis(COLOUR, 1, 3), COLOUR),
        (GREY, GREY[:, None]),
        (GREY[..., None], GREY[:, None]),
        (COLOUR.astype(np.int64), COLOUR),
        (COLOUR.astype(np.float32) / 255, COLOUR),
        (COLOUR.astype(np.float64) / 255, COLOUR),
    ],
)
def test_images_in_every_order_and_type(tmp_path, suffix, array, known):
    samples = read_file(saved(tmp_path / f"x{suffix}", array))
    assert samples.data.dtype == torch.uint8
    assert torch.equal(samples.data, torch.from_numpy(known))
    assert (samples.spec.modality, samples.spec.shape) == ("image", known.shape[1:])
    assert samples.spec.levels == 256
    assert samples.id.startswith(f"file:x{suffix}@")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_points(tmp_path, suffix, dtype):
    samples = read_file(saved(tmp_path / f"x{suffix}", POINTS.astype(dtype)))
    assert (samples.spec.modality, samples.spec.shape) == ("points", (2,))
    assert samples.spec.levels is None
    assert torch.equal(samples.data, torch.from_numpy(POINTS.astype(dtype)).float())


def test_the_spec_of_reals_rounds_as_decode_does(tmp_path):
    x = torch.rand(4, 1, 8, 8)
    samples = read_file(saved(tmp_path / "x.npy", x.numpy()))
    assert torch.equal(samples.data, samples.spec.decode(x * 2 - 1))


@pytest.mark.parametrize(
    "array", [COLOUR.astype(">i4"), np.asfortranarray(COLOUR), POINTS.astype(">f8")]
)
def test_byte_order_and_memory_order_do_not_matter(tmp_path, array):
    np.save(tmp_path / "x.npy", array)
    plain = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("="))
    np.save(tmp_path / "y.npy", plain)
    one, other = read_file(tmp_path / "x.npy"), read_file(tmp_path / "y.npy")
    assert torch.equal(one.data, other.data)
    assert one.id.partition("@")[2] == other.id.partition("@")[2]


def test_bfloat16_and_tensors_that_require_grad(tmp_path):
    torch.save(torch.full((2, 3), 0.5, dtype=torch.bfloat16).requires_grad_(), tmp_path / "x.pt")
    assert torch.equal(read_file(tmp_path / "x.pt").data, torch.full((2, 3), 0.5))


@pytest.mark.parametrize("name", ["samples", "images", "arr_0"])
def test_names_of_the_array(tmp_path, name):
    np.savez(tmp_path / "x.npz", **{name: GREY, "other": POINTS, "labels": np.arange(5)})
    torch.save(
        {name: torch.from_numpy(GREY), "other": torch.zeros(1), "labels": torch.arange(5)},
        tmp_path / "x.pt",
    )
    for suffix in (".npz", ".pt"):
        samples = read_file(tmp_path / f"x{suffix}")
        assert samples.spec.shape == (1, 4, 6)
        assert samples.spec.condition == {"label": Categorical(5)}
        assert samples.condition["label"].tolist() == [0, 1, 2, 3, 4]


def test_a_single_array_may_have_any_name(tmp_path):
    np.savez(tmp_path / "x.npz", mine=GREY, labels=np.arange(5))
    assert read_file(tmp_path / "x.npz").spec.shape == (1, 4, 6)


def test_metadata_of_safetensors(tmp_path):
    digits = torch.randint(0, 17, (5, 1, 8, 8), dtype=torch.uint8)
    safetensors.torch.save_file(
        {"samples": digits, "labels": torch.arange(5)},
        tmp_path / "x.safetensors",
        {"modality": "image", "levels": "17", "classes": "10", "format": "pt"},
    )
    samples = read_file(tmp_path / "x.safetensors")
    assert samples.spec == SampleSpec("image", (1, 8, 8), 17, {"label": Categorical(10)})
    assert torch.equal(samples.data, digits)


def test_old_pytorch_files(tmp_path):
    torch.save(torch.from_numpy(GREY), tmp_path / "x.pt", _use_new_zipfile_serialization=False)
    assert torch.equal(read_file(tmp_path / "x.pt").data[:, 0], torch.from_numpy(GREY))


@pytest.mark.parametrize(
    "samples",
    [
        TensorSamples(SampleSpec("image", (1, 8, 8), 17), "x", torch.full((3, 1, 8, 8), 16).byte()),
        # An array that without its modality could be understood in two ways.
        TensorSamples(
            SampleSpec("image", (3, 8, 1)), "x", torch.arange(72).byte().view(3, 3, 8, 1)
        ),
        TensorSamples(
            SampleSpec("image", (1, 2, 2), 1000), "x", torch.full((1, 1, 2, 2), 999).int()
        ),
        TensorSamples(
            SampleSpec("points", (2,), None, {"label": Categorical(8)}),
            "x",
            torch.randn(5, 2),
            {"label": torch.tensor([0, 1, 2, 3, 3])},
        ),
        TensorSamples(SampleSpec("audio", (1, 9), None), "x", torch.randn(2, 1, 9)),
    ],
)
def test_what_is_written_is_read_back(tmp_path, samples):
    path = tmp_path / "deep" / "x.npz"
    save_npz(path, samples)
    again = npz(str(path), tmp_path)
    assert again.spec == samples.spec
    assert again.data.dtype == samples.data.dtype
    assert torch.equal(again.data, samples.data)
    assert again.condition.keys() == samples.condition.keys()
    for name, value in samples.condition.items():
        assert torch.equal(again.condition[name], value)
    first = path.read_bytes()
    save_npz(path, samples)
    assert path.read_bytes() == first


def test_written_digits_fit_the_digits(tmp_path):
    digits = open_samples("digits:test", tmp_path)
    assert isinstance(digits, TensorSamples)
    save_npz(tmp_path / "x.npz", digits)
    again = open_samples(str(tmp_path / "x.npz"), tmp_path)
    assert again.spec == digits.spec
    assert again.id.partition("@")[2] == digits.id.partition("@")[2]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_samples_stay_as_they_were_hashed(tmp_path, suffix):
    """Whatever becomes of the file: safetensors reads only when a number is looked at."""
    path = saved(tmp_path / f"x{suffix}", np.zeros((40, 28, 28), np.uint8))
    samples = read_file(path)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(b"\x07" * size)
    assert not samples.data.any()
    path.write_bytes(b"")
    assert not samples.data.any()


@pytest.mark.parametrize("name", ["x.NPZ", "x.Npy", "x.PT", "x.pth", "x.PTH", "x.SafeTensors"])
def test_suffixes_in_any_case(tmp_path, name):
    path = tmp_path / name
    plain = saved(path.with_suffix(path.suffix.lower().replace("pth", "pt")), GREY)
    plain.rename(path)
    assert len(open_samples(str(path), tmp_path)) == len(open_reference(str(path), tmp_path)) == 5


def test_labels_of_guided_diffusion(tmp_path):
    np.savez(tmp_path / "x.npz", np.moveaxis(COLOUR, 1, 3), np.array([3, 1, 0, 2, 9]))
    samples = read_file(tmp_path / "x.npz")
    assert samples.spec.condition == {"label": Categorical(10)}
    assert samples.condition["label"].tolist() == [3, 1, 0, 2, 9]
    assert samples.id.startswith("file:x.npz@")
    np.savez(tmp_path / "x.npz", COLOUR, np.arange(5), labels=np.zeros(5, int))
    assert read_file(tmp_path / "x.npz").condition["label"].tolist() == [0] * 5


@pytest.mark.parametrize(
    "other",
    [np.arange(4), np.arange(5) - 1, np.arange(5) + 2**31, np.ones(5), GREY, np.array([None] * 5)],
)
def test_another_second_array_is_not_labels(tmp_path, other):
    np.savez(tmp_path / "x.npz", GREY, other)
    assert read_file(tmp_path / "x.npz").spec.condition == {}


@pytest.mark.parametrize(
    ("low", "high", "levels"),
    [
        (0, 1 + 1e-7, 256),
        (-1e-7, 1, 256),
        (0, float(np.float16(1.0009765)), 256),
        (0, 1 + 1e-6, 2**16),
    ],
)
def test_reals_that_rounding_puts_beyond_are_clipped_with_a_note(tmp_path, low, high, levels):
    reals = np.array([low, 0.25, 0.75, high] * 8).reshape(2, 1, 4, 4)
    np.savez(tmp_path / "x.npz", samples=reals, levels=levels)
    samples = read_file(tmp_path / "x.npz")
    known = [round(x * (levels - 1)) for x in (0, 0.25, 0.75, 1)] * 8
    assert samples.data.flatten().tolist() == known
    (note,) = samples.notes
    assert "beyond [0, 1]" in note
    scores = genbench.evaluate(samples, samples, extractor="identity", metrics=["frechet_distance"])
    assert scores.notes[0] == f"file:x.npz: {note}"
    assert read_file(saved(tmp_path / "y.npy", reals.clip(0, 1))).notes == ()


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


def test_narrow_floats(tmp_path):
    torch.save(torch.full((2, 3), 0.5).to(torch.float8_e4m3fn), tmp_path / "x.pt")
    assert torch.equal(read_file(tmp_path / "x.pt").data, torch.full((2, 3), 0.5))


def test_a_file_of_weights_is_told_in_a_short_line(tmp_path):
    torch.save({f"layer.{index}": torch.zeros(1) for index in range(500)}, tmp_path / "x.pt")
    assert ", and 480 more; call the array" in refusal(tmp_path / "x.pt")


def test_samples_beside_statistics_are_samples(tmp_path):
    """As in the reference batches of ADM."""
    np.savez(tmp_path / "x.npz", arr_0=COLOUR, mu=np.zeros(3), sigma=np.eye(3))
    assert torch.equal(read_file(tmp_path / "x.npz").data, torch.from_numpy(COLOUR))


def test_levels_without_a_modality_count_for_reals_too(tmp_path):
    levels = RNG.integers(0, 17, (5, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", samples=levels / 16, levels=17)
    samples = read_file(tmp_path / "x.npz")
    assert samples.spec.levels == 17
    assert torch.equal(samples.data[:, 0], torch.from_numpy(levels))


def test_equal_contents_have_equal_ids_in_every_format(tmp_path):
    ids = {read_file(saved(tmp_path / f"x{s}", COLOUR)).id.partition("@")[2] for s in SUFFIXES}
    assert len(ids) == 1
