"""What one pass over a folder keeps for the next, and when it is not believed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import genbench.io.scan as module
from genbench import store
from genbench.api.errors import DataError
from genbench.data import open_samples
from genbench.io.files import Stamp


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """Files are old at once."""
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "SETTLED", -(10**12))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path) -> Path:
    place = tmp_path / "pictures"
    place.mkdir()
    for index in range(5):
        write(place / f"{index}.bmp", index)
    return place


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """The names of the files that are read."""
    names: list[str] = []
    contents = module.contents

    def noted(path: str) -> tuple[bytes, Stamp]:
        names.append(os.path.basename(path))
        return contents(path)

    monkeypatch.setattr(module, "contents", noted)
    return names


def write(path: Path, value: int) -> None:
    """Always as many bytes."""
    Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(path)


def identity(folder: Path) -> str:
    return open_samples(str(folder), folder).id


def test_a_second_opening_reads_nothing(folder, read):
    first = identity(folder)
    assert sorted(read) == [f"{index}.bmp" for index in range(5)]
    read.clear()
    assert identity(folder) == first
    assert read == []


def test_the_id_is_that_of_the_bytes_whatever_is_kept(folder, tmp_path, monkeypatch):
    known = identity(folder)
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / "another"))
    assert identity(folder) == known


def test_a_file_that_changes_is_read_again(folder, read):
    first = identity(folder)
    read.clear()
    Image.new("RGB", (4, 4)).save(folder / "3.bmp", dpi=(1, 1))
    assert identity(folder) != first
    assert read == ["3.bmp"]


def test_a_change_within_a_second_that_keeps_the_size(folder, read):
    path = folder / "3.bmp"
    os.utime(path, ns=(0, 1_700_000_000_000_000_000))
    first = identity(folder)
    size = path.stat().st_size
    read.clear()
    write(path, 99)
    os.utime(path, ns=(0, 1_700_000_000_000_000_001))
    assert path.stat().st_size == size
    assert identity(folder) != first
    assert read == ["3.bmp"]


def test_a_change_that_keeps_size_and_time(folder):
    """As ``cp -p`` leaves it."""
    path = folder / "3.bmp"
    before = path.stat()
    first = identity(folder)
    write(path, 99)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert identity(folder) != first


def test_what_is_too_young_is_not_kept(folder, read, monkeypatch):
    """A change could still fall into the same tick of the clock."""
    monkeypatch.setattr(module, "SETTLED", 10**12)
    identity(folder)
    read.clear()
    identity(folder)
    assert len(read) == 5


def test_new_and_lost_pictures(folder, read):
    first = identity(folder)
    read.clear()
    write(folder / "9.bmp", 9)
    assert identity(folder) != first
    assert read == ["9.bmp"]
    (folder / "9.bmp").unlink()
    assert identity(folder) == first
    assert read == ["9.bmp"]


@pytest.mark.parametrize("damage", [b"", b"{}", b"\0" * 100, None])
@pytest.mark.parametrize("which", [0, 1], ids=["record", "metadata"])
def test_a_damaged_record_is_not_believed(folder, cache, read, damage, which):
    first = identity(folder)
    kept = sorted((cache / "pictures").iterdir())[which]
    data = kept.read_bytes()
    flipped = data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]
    kept.write_bytes(flipped if damage is None else damage)
    read.clear()
    assert identity(folder) == first
    assert len(read) == 5
    read.clear()
    assert identity(folder) == first  # written anew
    assert read == []


ROW = [192, 1, 2, 3, "RGB", 4, 4, "0" * 64]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"null",
        b'{"3.bmp": 7}',
        b"[" * 100_000,
        b"\xff\xfe",
        json.dumps({"0.bmp": ROW[:-1]}).encode(),
        json.dumps({"0.bmp": [*ROW[:-1], "no hash"]}).encode(),
        json.dumps({"0.bmp": [*ROW[:4], "CMYK", *ROW[5:]]}).encode(),
        json.dumps({"0.bmp": ["1", *ROW[1:]]}).encode(),
    ],
)
@pytest.mark.parametrize("metadata", [None, {}], ids=["its own", "empty"])
def test_a_foreign_payload_with_valid_metadata_is_not_believed(
    folder, cache, read, payload, metadata
):
    first = identity(folder)
    (kept,) = (cache / "pictures").glob("*[0-9a-f].json")
    held = store.require_artefact(kept)[1]
    store.write_artefact(kept, payload, held if metadata is None else metadata)
    read.clear()
    assert identity(folder) == first
    assert len(read) == 5


def test_a_record_of_another_version_is_not_believed(folder, read, monkeypatch):
    identity(folder)
    read.clear()
    monkeypatch.setattr(module, "VERSION", module.VERSION + 1)
    identity(folder)
    assert len(read) == 5


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(folder, tmp_path, read, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / "file" / "cache"))
    first = identity(folder)
    assert identity(folder) == first
    assert len(read) == 10


def test_a_bad_picture_is_named_again_and_the_rest_is_found_when_it_is_gone(folder):
    (folder / "7.png").write_bytes(b"not a picture")
    for _ in range(2):
        with pytest.raises(DataError, match=r"1 of 6 pictures cannot be used: 7\.png"):
            identity(folder)
    (folder / "7.png").unlink()
    assert identity(folder).startswith("folder:pictures@")


def test_a_picture_that_goes_bad_is_seen(folder):
    identity(folder)
    data = (folder / "2.bmp").read_bytes()
    (folder / "2.bmp").write_bytes(data[:-4] + b"\0\0\0")
    with pytest.raises(DataError, match=r"2\.bmp"):
        identity(folder)


def test_odd_names_are_kept_too(folder, read):
    for name in (b"line\nbreak.bmp", b"not utf-8 \xff\xfe.bmp", "ü".encode() + b".bmp"):
        write(folder / "new.bmp", 50)
        os.rename(folder / "new.bmp", os.path.join(os.fsencode(folder), name))
    first = identity(folder)
    read.clear()
    assert identity(folder) == first
    assert read == []


def test_two_folders_do_not_share_a_record(folder, tmp_path, read):
    other = tmp_path / "other" / "pictures"
    other.mkdir(parents=True)
    for index in range(5):
        write(other / f"{index}.bmp", index + 1)
    assert identity(folder) != identity(other)
    read.clear()
    assert identity(folder) != identity(other)
    assert read == []
