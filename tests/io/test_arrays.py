"""Files of samples: what they mean."""

from __future__ import annotations

import numpy as np
import pytest
import safetensors.torch
import torch
from array_files import COLOUR, GREY, POINTS, RNG, SUFFIXES, saved

import genbench
from genbench.api import Categorical, SampleSpec, TensorSamples
from genbench.data import open_reference, open_samples
from genbench.data.files import npz, read_file
from genbench.io.arrays import save_npz


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
        TensorSamples(SampleSpec("audio", (1, 9), None, rate=8_000.0), "x", torch.randn(2, 1, 9)),
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


def test_narrow_floats(tmp_path):
    torch.save(torch.full((2, 3), 0.5).to(torch.float8_e4m3fn), tmp_path / "x.pt")
    assert torch.equal(read_file(tmp_path / "x.pt").data, torch.full((2, 3), 0.5))


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
