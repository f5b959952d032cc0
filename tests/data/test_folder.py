"""Folders of pictures: what is read, and every way in which one cannot be."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import genbench
from genbench.api.errors import DataError, UsageError
from genbench.data.folder import folder
from genbench.evaluation import embedding
from genbench.io import scan
from genbench.io.pictures import read_ahead
from genbench.training import batches


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def load(path: Path):
    return folder(str(path), Path("unused"))


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_grey_pictures_have_one_channel(tmp_path):
    pixels = [noise(seed, 5, 7) for seed in range(3)]
    for index, picture in enumerate(pixels):
        write(tmp_path / f"{index}.png", picture)
    samples = load(tmp_path)
    assert (samples.spec.modality, samples.spec.shape, samples.spec.levels) == (
        "image",
        (1, 5, 7),
        256,
    )
    assert samples.spec.condition == {}
    batch = samples.take(torch.tensor([2, 0]))
    assert batch.data.dtype == torch.uint8
    assert torch.equal(batch.data, torch.from_numpy(np.stack([pixels[2], pixels[0]]))[:, None])


def test_grey_beside_colour_becomes_colour(tmp_path):
    grey, colour = noise(0, 4, 6), noise(1, 4, 6, 3)
    write(tmp_path / "a.png", grey)
    write(tmp_path / "b.png", colour)
    data = load(tmp_path).take(torch.arange(2)).data
    assert torch.equal(data[0], torch.from_numpy(grey).expand(3, 4, 6))
    assert torch.equal(data[1], torch.from_numpy(colour).permute(2, 0, 1))


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".jpg", ".JPEG", ".bmp", ".webp"])
def test_every_format_gives_the_pixels_that_were_saved(tmp_path, suffix):
    # Flat blocks as large as JPEG's, whose cosine transforms are constants.
    pixels = np.kron(noise(0, 3, 2, 3), np.ones((8, 8, 1), np.uint8))
    Image.fromarray(pixels).save(tmp_path / f"a{suffix}", quality=100, subsampling=0, lossless=True)
    data = load(tmp_path).take(torch.tensor([0])).data[0]
    tolerance = 2 if suffix in (".jpg", ".JPEG") else 0  # its colour space is rounded
    assert (data.int() - torch.from_numpy(pixels).permute(2, 0, 1).int()).abs().max() <= tolerance


def test_found_recursively_in_the_order_of_relative_paths(tmp_path):
    names = ["z.png", "b/a.png", "a/b/c.png", "a.png"]
    for value, name in enumerate(names):
        write(tmp_path / name, np.full((2, 2), value, np.uint8))
    (tmp_path / "notes.txt").write_text("not a picture")
    samples = load(tmp_path)
    assert samples.take(torch.arange(4)).data[:, 0, 0, 0].tolist() == [3, 2, 1, 0]


def test_the_id_follows_the_bytes_and_not_the_place(tmp_path):
    for name in ("one/set", "other/set"):
        for seed in range(2):
            write(tmp_path / name / f"{seed}.png", noise(seed, 3, 3))
    one = load(tmp_path / "one" / "set").id
    assert one == load(tmp_path / "other" / "set").id
    assert one.startswith("folder:set@")
    write(tmp_path / "other" / "set" / "1.png", noise(7, 3, 3))
    assert one != load(tmp_path / "other" / "set").id


def in_place(path: Path, data: bytes) -> None:
    with path.open("r+b") as file:
        file.write(data)


def renamed(path: Path, data: bytes) -> None:
    path.with_suffix(".new").write_bytes(data)
    path.with_suffix(".new").replace(path)


@pytest.mark.parametrize("settled", [-(10**12), 10**12], ids=["old", "young"])
@pytest.mark.parametrize("timed", [False, True], ids=["new time", "time of the old one"])
@pytest.mark.parametrize("change", [in_place, renamed])
def test_a_picture_that_changes_after_it_was_hashed_is_refused(
    tmp_path, monkeypatch, change, timed, settled
):
    """Whatever its size and its times say: the pixels would not be those that the id names."""
    monkeypatch.setattr(scan, "SETTLED", settled)
    for value in range(3):
        write(tmp_path / f"{value}.bmp", np.full((4, 4), value, np.uint8))
    samples = load(tmp_path)
    path = tmp_path / "1.bmp"
    before = path.stat()
    data = path.read_bytes()
    change(path, data[:-1] + b"\x09")
    if timed:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert samples.take(torch.tensor([0, 2])).data[:, 0, 0, 0].tolist() == [0, 2]
    with pytest.raises(DataError) as caught:
        samples.take(torch.arange(3))
    message = str(caught.value)
    assert f"{path}: it has changed since {samples.id} was opened" in message
    assert "\n" not in message
    assert load(tmp_path).id != samples.id
    change(path, data)  # what was hashed is there again, at another time
    assert samples.take(torch.arange(3)).data[:, 0, 0, 0].tolist() == [0, 1, 2]


def test_a_link_or_another_mode_is_no_change(tmp_path):
    path = write(tmp_path / "a.png", noise(0, 3, 3))
    samples = load(tmp_path)
    os.link(path, tmp_path.with_name(f"{tmp_path.name} linked.png"))
    path.chmod(0o400)
    assert torch.equal(samples.take(torch.tensor([0])).data[0, 0], torch.from_numpy(noise(0, 3, 3)))


@pytest.mark.parametrize("resident", [True, False], ids=["whole", "streamed"])
def test_a_training_refuses_a_picture_that_has_changed(tmp_path, monkeypatch, resident):
    for value in range(4):
        write(tmp_path / f"{value}.bmp", np.full((4, 4), value, np.uint8))
    samples = load(tmp_path)
    write(tmp_path / "3.bmp", np.full((4, 4), 9, np.uint8))
    if not resident:
        monkeypatch.setattr(batches, "RESIDENT_BYTES", 0)
    with pytest.raises(DataError, match=r"3\.bmp: it has changed since folder:"):
        batches.loader(
            samples, batches.EpochSampler(4, 4, 0), rank=0, world=1, device=torch.device("cpu")
        )(0)


def test_scores_of_pictures_that_change_are_refused_and_nothing_is_kept(tmp_path, monkeypatch):
    """Or their features would be found under the id of what was there before."""
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(embedding, "WORTH_KEEPING", 0.0)
    place = tmp_path / "pictures"
    for seed in range(40):
        write(place / f"{seed:02}.bmp", noise(seed, 2, 2))
    reference = load(place)
    write(place / "20.bmp", noise(99, 2, 2))
    fresh = load(place)
    options = {"extractor": "identity", "metrics": ["frechet_distance"]}
    with pytest.raises(DataError, match=r"20\.bmp: it has changed since"):
        genbench.evaluate(fresh, reference, **options)
    assert not list(tmp_path.glob("cache/features/*"))
    assert genbench.evaluate(fresh, fresh, **options).values["frechet_distance"].value < 1e-6


def test_what_is_hidden_is_not_read(tmp_path):
    write(tmp_path / "a.png", noise(0, 3, 3))
    write(tmp_path / ".ipynb_checkpoints" / "a-checkpoint.png", noise(1, 3, 3))
    write(tmp_path / "deep" / ".thumbnails" / "b.png", noise(2, 3, 3))
    (tmp_path / "deep" / "._a.png").write_bytes(b"resource fork")
    assert len(load(tmp_path)) == 1
    (tmp_path / "a.png").unlink()
    assert "zero images or sounds: no .png, " in refusal(tmp_path)
    assert len(load(tmp_path / ".ipynb_checkpoints")) == 1  # asked for by name


@pytest.mark.parametrize("name", ["b", "deep/0f3a", "b.jfif", "b.JPE", "b.jpeg"])
@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "WEBP"])
def test_pictures_without_a_suffix_or_with_a_rare_one_are_read(tmp_path, name, format):
    write(tmp_path / "a.png", noise(0, 3, 3, 3))
    (tmp_path / name).parent.mkdir(exist_ok=True)
    Image.fromarray(noise(1, 3, 3, 3)).save(tmp_path / name, format=format)
    for text in ("README", "labels", "Makefile"):
        (tmp_path / text).write_text("BM, or P5, is how some pictures begin")
    assert len(load(tmp_path)) == 2


@pytest.mark.timeout(20)
def test_links_are_followed_and_loops_end(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    write(elsewhere / "b.png", noise(0, 3, 3))
    root = tmp_path / "root"
    write(root / "a.png", noise(1, 3, 3))
    (root / "linked").symlink_to(elsewhere)
    (root / "loop").symlink_to(root)
    (elsewhere / "back").symlink_to(root)
    assert len(load(root)) == 2


@pytest.mark.timeout(20)
def test_files_that_are_no_files(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "gone.png")
    os.mkfifo(tmp_path / "c.png")
    message = refusal(tmp_path)
    assert "a.png (Too many levels of symbolic links)" in message
    assert "b.png (No such file or directory)" in message
    assert "c.png (not a regular file)" in message


def test_missing_path_and_folder(tmp_path):
    with pytest.raises(UsageError, match="folder:PATH"):
        folder("", tmp_path)
    assert "no such folder" in refusal(tmp_path / "missing")
    path = write(tmp_path / "a.png", noise(0, 3, 3))
    assert f"{path}: Not a directory" in refusal(path)


def test_zero_images(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"GIF89a")
    assert "zero images" in refusal(tmp_path)


@pytest.mark.parametrize(
    "name", ["b.gif", "deep/b.TIFF", "b.ppm", "b.avif", "b.tga", "b.PNM", "b.pbm", "b.ico"]
)
def test_pictures_in_other_formats_are_not_left_out_without_a_word(tmp_path, name):
    write(tmp_path / "a.png", noise(0, 3, 3))
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"whatever it is")
    assert f"formats that are not read: {name}; convert them" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("name", "format"),
    [("b", "GIF"), ("b", "TIFF"), ("b", "PPM"), ("b.png.part", "PNG"), ("b.jpg~", "JPEG")],
)
def test_pictures_that_only_their_bytes_tell_are_named(tmp_path, name, format):
    write(tmp_path / "a.png", noise(0, 3, 3))
    Image.new("L", (3, 3)).save(tmp_path / name, format=format)
    assert f"formats that are not read: {name}; convert them" in refusal(tmp_path)


def test_mixed_sizes_name_the_first_two(tmp_path):
    for name, size in [("a.png", 4), ("b.png", 4), ("c.png", 5), ("d.png", 6)]:
        write(tmp_path / name, noise(0, size, 8))
    assert "mixed sizes: a.png is 8×4, c.png is 8×5" in refusal(tmp_path)


def save(mode: str, **options) -> Callable[[Path], None]:
    return lambda path: Image.new(mode, (3, 3)).save(path, **options)


def animated(path: Path) -> None:
    frames = [Image.new("RGB", (3, 3), colour) for colour in ("red", "blue", "green")]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def sixteen_bit_colour(path: Path) -> None:
    """A PNG that Pillow cannot write: 16 bits a channel, RGB."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        sum_ = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", sum_)

    header = struct.pack(">IIBBBBB", 3, 3, 16, 2, 0, 0, 0)
    data = zlib.compress((b"\0" + bytes(18)) * 3)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("make", "name", "cause"),
    [
        (lambda path: path.write_bytes(b""), "x.png", "empty file"),
        (lambda path: path.write_bytes(b"hello"), "x.png", "not a PNG, JPEG, BMP or WebP picture"),
        (save("RGB", format="EPS"), "x.jpg", "not a PNG, JPEG, BMP or WebP picture"),
        (save("RGB", format="TIFF"), "x.png", "not a PNG, JPEG, BMP or WebP picture"),
        (save("P"), "x.png", "mode P"),
        (save("RGBA"), "x.png", "mode RGBA"),
        (save("LA"), "x.png", "mode LA"),
        (save("1"), "x.png", "mode 1"),
        (save("I;16"), "x.png", "mode I;16"),
        (save("CMYK"), "x.jpg", "mode CMYK"),
        (save("RGB", transparency=(0, 0, 0)), "x.png", "RGB with transparency"),
        (sixteen_bit_colour, "x.png", "16 bits a channel"),
        (animated, "x.png", "animated: 3 pictures in one file"),
        (animated, "x.webp", "animated: 3 pictures in one file"),
    ],
)
def test_unusable_pictures(tmp_path, make, name, cause):
    write(tmp_path / "fine.png", noise(0, 3, 3))
    make(tmp_path / name)
    message = refusal(tmp_path)
    assert f"{name} (" in message
    assert cause in message
    assert "fine.png" not in message


@pytest.mark.parametrize("kept", [4, 20, 40, -30, -13])
def test_a_truncated_png_is_named_when_the_folder_is_opened(tmp_path, kept):
    path = write(tmp_path / "a.png", noise(0, 16, 16))
    path.write_bytes(path.read_bytes()[:kept])
    assert "a.png (" in refusal(tmp_path)


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".bmp"])
@pytest.mark.parametrize("cut", [400, 20])
def test_any_truncated_picture_is_named_when_the_folder_is_opened(tmp_path, suffix, cut):
    path = write(tmp_path / f"a{suffix}", noise(0, 32, 32, 3))
    path.write_bytes(path.read_bytes()[:-cut])
    assert f"a{suffix} (" in refusal(tmp_path)


def test_three_bad_pictures_of_ten_thousand_are_named_at_once(tmp_path):
    good = write(tmp_path / "00000.png", noise(0, 8, 8, 3))
    for index in range(1, 10_000):
        os.link(good, tmp_path / f"{index:05}.png")
    for name in ("00017.png", "05000.png", "09999.png"):
        (tmp_path / name).unlink()
    (tmp_path / "00017.png").write_bytes(good.read_bytes()[:-13])
    (tmp_path / "05000.png").write_bytes(b"")
    Image.new("CMYK", (8, 8)).save(tmp_path / "09999.png", "JPEG")
    message = refusal(tmp_path)
    assert "3 of 10,000 pictures cannot be used: 00017.png (" in message
    assert "05000.png (empty file)" in message
    assert "09999.png (pixels of mode CMYK" in message


def test_bad_files_are_named_up_to_twenty(tmp_path):
    for index in range(1022):
        (tmp_path / f"{index:04}.png").write_bytes(b"")
    message = refusal(tmp_path)
    assert [f"{index:04}.png" in message for index in range(22)] == [True] * 20 + [False] * 2
    assert ", and 1,002 more; convert or remove them" in message


def test_memory_does_not_grow_with_the_number_of_pictures(tmp_path):
    def peak(count: int) -> int:
        place = tmp_path / str(count)
        good = write(place / "0.png", noise(0, 64, 64, 3))
        for index in range(1, count):
            os.link(good, place / f"{index}.png")
        tracemalloc.start()
        samples = load(place)
        for batch in read_ahead(samples, torch.arange(count).split(256)):
            assert batch.data.shape[1:] == (3, 64, 64)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(600)  # what is loaded once
    names_and_hashes = 2_000  # bytes a picture, of which the pixels alone are 12,288
    assert peak(4000) - peak(1000) < 3000 * names_and_hashes


def test_odd_names_are_told_in_one_line(tmp_path):
    place = tmp_path / "a\nb"
    place.mkdir()
    for name in (b"line\nbreak.png", b"not utf-8 \xff.png", b"x" * 250 + b".png"):
        with open(os.path.join(os.fsencode(place), name), "wb"):
            pass
    message = refusal(place)
    assert "a\\nb: 3 of 3 pictures" in message
    assert "line\\nbreak.png (empty file)" in message
    assert "not utf-8 \\udcff.png (empty file)" in message
    message.encode()


def test_odd_names_are_read_and_make_plain_ids(tmp_path):
    place = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), b"\xff\n")))
    write(place / "a\nb.png", noise(0, 3, 3))
    samples = load(place)
    assert samples.id.startswith("folder:\\udcff\\n@")
    assert torch.equal(samples.take(torch.tensor([0])).data[0, 0], torch.from_numpy(noise(0, 3, 3)))


def test_a_picture_that_vanishes(tmp_path):
    path = write(tmp_path / "a.png", noise(0, 3, 3))
    samples = load(tmp_path)
    path.unlink()
    with pytest.raises(DataError, match=r"a\.png: No such file"):
        samples.take(torch.tensor([0]))
