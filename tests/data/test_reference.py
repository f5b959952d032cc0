"""What ``open_samples`` makes of the text that a user gives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genbench import registry
from genbench.api import Categorical, SampleSpec
from genbench.api.errors import DataError, UsageError
from genbench.data import open_reference, open_samples
from genbench.io.moments import Moments
from genbench.store import in_memory


def test_a_name_with_and_without_a_split(tmp_path):
    assert open_samples("digits:test", tmp_path).id.startswith("digits:test@")
    assert open_samples("digits", tmp_path).id == open_samples("digits:train", tmp_path).id


def test_every_registered_source_is_found():
    for name in registry.datasets.names():
        assert callable(registry.datasets.get(name))


def test_bare_files_and_folders(tmp_path):
    images = np.zeros((3, 4, 4, 1), np.uint8)
    np.savez(tmp_path / "a.npz", images)
    np.save(tmp_path / "a.npy", images)
    torch.save(torch.from_numpy(images), tmp_path / "a.pt")
    (tmp_path / "pictures").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "pictures" / "a.png")
    for name in ("a.npz", "a.npy", "a.pt", "pictures"):
        assert open_samples(str(tmp_path / name), tmp_path).spec.shape == (1, 4, 4)
    assert open_samples(f"npz:{tmp_path / 'a.npz'}", tmp_path).spec.shape == (1, 4, 4)
    assert open_samples(f"folder:{tmp_path / 'pictures'}", tmp_path).spec.shape == (1, 4, 4)


def test_a_registered_name_comes_before_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("digits").mkdir()
    Image.new("L", (4, 4)).save("digits/a.png")
    assert open_samples("digits", tmp_path).id.startswith("digits:train@")
    assert open_samples("./digits", tmp_path).id.startswith("folder:digits@")


@pytest.mark.parametrize(
    ("reference", "kind", "message"),
    [
        (
            "digts:test",
            UsageError,
            "unknown dataset, file or folder 'digts'; did you mean 'digits'",
        ),
        ("fashion_mnist", UsageError, "did you mean 'fashion-mnist'"),
        ("xyzzy", UsageError, "unknown dataset, file or folder 'xyzzy'; known: .*mnist"),
        ("", UsageError, "unknown dataset"),
        ("digits:tset", UsageError, "did you mean 'test'"),
        ("no/such/folder", DataError, "no/such/folder: no such file or folder"),
        ("missing.npz", DataError, r"missing\.npz: No such file"),
        ("npz", UsageError, "npz:PATH"),
        ("folder:", UsageError, "folder:PATH"),
    ],
)
def test_what_is_not_there(tmp_path, monkeypatch, reference, kind, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=message) as caught:
        open_samples(reference, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_file_of_another_kind(tmp_path):
    path = tmp_path / "samples.mat"
    path.write_bytes(b"x")
    with pytest.raises(UsageError, match=r"samples\.mat: cannot tell .*; known: \.npz"):
        open_samples(str(path), tmp_path)


def test_a_reference_is_samples_or_statistics(tmp_path):
    np.savez(tmp_path / "samples.npz", np.zeros((3, 4, 4, 1), np.uint8))
    np.savez(tmp_path / "statistics.npz", mu=np.zeros(3), sigma=np.eye(3))
    samples = open_reference(str(tmp_path / "samples.npz"), tmp_path)
    assert samples.id == open_samples(str(tmp_path / "samples.npz"), tmp_path).id
    assert open_reference("digits:test", tmp_path).id == open_samples("digits:test", tmp_path).id
    assert isinstance(open_reference(str(tmp_path / "statistics.npz"), tmp_path), Moments)
    assert isinstance(open_reference(f"npz:{tmp_path / 'statistics.npz'}", tmp_path), Moments)
    assert len(open_reference(f"npz:{tmp_path / 'samples.npz'}", tmp_path)) == 3
    with pytest.raises(DataError, match="give this file as the reference of frechet_distance"):
        open_samples(str(tmp_path / "statistics.npz"), tmp_path)
    with pytest.raises(DataError, match="No such file"):
        open_reference(str(tmp_path / "missing.npz"), tmp_path)
    (tmp_path / "folder.npz").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "folder.npz" / "a.png")
    assert len(open_reference(str(tmp_path / "folder.npz"), tmp_path)) == 1


@pytest.mark.timeout(20)
def test_what_is_neither_a_file_nor_a_folder(tmp_path):
    for name in ("pipe", "pipe.npy", "pipe.npz", "pipe.pt", "pipe.safetensors"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(DataError, match=rf"{name}: (neither a file nor|not a regular file)"):
            open_samples(str(tmp_path / name), tmp_path)
    for name in ("loop", "loop.npy"):
        (tmp_path / name).symlink_to(tmp_path / name)
        with pytest.raises(DataError, match=f"{name}: Too many levels of symbolic links"):
            open_samples(str(tmp_path / name), tmp_path)


def test_importing_the_room_does_not_import_torch():
    code = "import sys, genbench.data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_id_covers_data_labels_and_spec():
    data = torch.arange(8, dtype=torch.uint8).reshape(2, 1, 2, 2)
    label = torch.tensor([0, 1])

    def identity(levels: int, classes: int, data: torch.Tensor, label: torch.Tensor) -> str:
        spec = SampleSpec("image", (1, 2, 2), levels, {"label": Categorical(classes)})
        return in_memory("x", "train", spec, data, {"label": label}).id

    ids = [
        identity(256, 2, data, label),
        identity(17, 2, data, label),
        identity(256, 3, data, label),
        identity(256, 2, data.flip(0), label),
        identity(256, 2, data, label.flip(0)),
    ]
    assert len(set(ids)) == 5
    assert identity(256, 2, data.clone(), label.clone()) == ids[0]
    assert ids[0].startswith("x:train@")
