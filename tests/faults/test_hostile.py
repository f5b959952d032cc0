"""No file is ever unpickled: hostile ones are refused in a line, and run, hang or fill nothing."""

from __future__ import annotations

import os
import shutil
import stat
import urllib.request
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import URLError

import hostile
import numpy as np
import pytest
import torch
from click.testing import Result
from confined import assert_refused, confined
from corridor import call, in_this_process, write_suite
from PIL import Image

from genbench import store
from genbench.api.errors import GenbenchError
from genbench.extractors import inception
from genbench.training import checkpoint

NAMES = sorted(hostile.files(Path()))


def test_there_are_enough_of_them() -> None:
    assert len(NAMES) >= 50


def evaluate(samples: str | Path, folder: Path) -> Result:
    options = ["--extractor", "identity", "--metrics", "frechet_distance"]
    against = ["--against", "points-ring:test", "--data-dir", folder]
    return call("evaluate", samples, *against, *options)


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


@pytest.mark.parametrize("name", NAMES)
def test_as_samples(name: str, canary: Path, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(hostile.files(canary)[name]())
    as_itself, as_npz = confined(
        lambda: evaluate(path, tmp_path), lambda: evaluate(f"npz:{path}", tmp_path)
    )
    assert_refused(as_itself, 2, name)
    assert_refused(as_npz, 2, name)
    assert not canary.exists()


@pytest.mark.parametrize("name", sorted(hostile.harmless(Path())))
def test_what_is_not_asked_for_is_not_read(name: str, canary: Path, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(hostile.harmless(canary)[name]())
    (told,) = confined(lambda: evaluate(path, tmp_path))
    assert told["exit"] == 0, told
    assert not canary.exists()


@pytest.mark.parametrize("name", NAMES)
def test_as_weights_of_an_extractor(
    name: str, canary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if it had the hash of the published file."""
    path = tmp_path / name
    path.write_bytes(hostile.files(canary)[name]())
    monkeypatch.setattr(inception, "PUBLISHED", replace(inception.PUBLISHED, sha256=""))

    def load() -> str:
        with pytest.raises(GenbenchError) as caught:
            inception.inception(weights=str(path)).to("cpu")
        return f"genbench: {caught.value}\n"

    (told,) = confined(load)
    assert_refused(told, 1, name)
    assert not canary.exists()


TRAINING = ("toy", "points-ring", "--examples", "64", "--out")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("trained") / "run"
    assert call("train", *TRAINING, run).exit_code == 0
    return run


@pytest.mark.parametrize("name", NAMES)
def test_as_snapshot_and_state(name: str, canary: Path, trained: Path, tmp_path: Path) -> None:
    """Their checksums agree: whoever made them made their metadata files too."""
    data = hostile.files(canary)[name]()
    finished, unfinished = (
        shutil.copytree(trained, tmp_path / each) for each in ("finished", "unfinished")
    )
    snapshot = checkpoint.snapshot_path(finished, 64, "ema")
    store.write_artefact(snapshot, data, {"examples": 64})
    store.remove(unfinished / checkpoint.RESULT)
    state = unfinished / "checkpoint-1.pt"
    store.write_artefact(state, data, {"step": 1})
    sampled, went_on = confined(
        lambda: call("sample", finished, "--out", tmp_path / "s.npz"),
        lambda: call("train", *TRAINING, unfinished),
    )
    assert_refused(sampled, 1, str(snapshot))
    assert_refused(went_on, 1, str(state))
    assert not canary.exists()


def test_states_of_something_else(trained: Path, tmp_path: Path) -> None:
    """Read, and found not to be this training's."""
    parts: dict[str, Any] = {key: {} for key in checkpoint.STATE} | {"step": 1, "seconds": 0.0}
    for number, state in enumerate(
        [{"step": 1}, parts, {**parts, "model": {"w": torch.ones(3)}}, {**parts, "history": 7}]
    ):
        out = tmp_path / str(number)
        shutil.copytree(trained, out)
        store.remove(out / checkpoint.RESULT)
        store.write_artefact(out / "checkpoint-1.pt", store.pack_state(state), {"step": 1})
        (told,) = confined(lambda out=out: call("train", *TRAINING, out))
        assert_refused(told, 1, str(out))


def test_as_pictures(canary: Path, tmp_path: Path) -> None:
    """In a folder of pictures: programs, bombs, and what never ends."""
    trap = hostile.pickled(hostile.Trap(canary), 2)
    bomb = Image.new("L", (1, 1))
    bomb.save(tmp_path / "small.png")
    small = (tmp_path / "small.png").read_bytes()
    (tmp_path / "small.png").unlink()
    wide = small[:16] + b"\x00\x01\x00\x00" + b"\x00\x01\x00\x00" + small[24:]
    contents: dict[str, bytes | None] = {
        "pickle.png": trap,
        "pickle.jpg": b"\xff\xd8\xff\xe0" + trap,
        "script.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n",
        "wide.png": wide,
        "cut.png": small[:40],
        "text.bmp": b"BM" + b"\xff" * 60,
        "pipe.png": None,
    }
    for name, content in contents.items():
        folder = tmp_path / f"folder of {name}"
        folder.mkdir()
        if content is None:
            os.mkfifo(folder / name)
            assert stat.S_ISFIFO((folder / name).stat().st_mode)
        else:
            (folder / name).write_bytes(content)
        references = [f"folder:{folder}", str(folder)]
        for told in confined(*(partial(evaluate, named, tmp_path) for named in references)):
            assert_refused(told, 2, name)
    assert not canary.exists()


@pytest.mark.parametrize("name", ["cifar10", "svhn", "mnist"])
def test_as_published_data(
    name: str, canary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CIFAR-10 is published as pickles: nothing but the published bytes is read."""

    def offline(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    trap = hostile.pickled(hostile.Trap(canary), 2)
    batches = [f"data_batch_{k}" for k in range(1, 6)]
    for file in (
        *(f"cifar-10-batches-py/{part}" for part in (*batches, "test_batch", "batches.meta")),
        *("cifar-10-python.tar.gz", "test_32x32.mat", "train_32x32.mat"),
        *("mnist/t10k-images-idx3-ubyte", "mnist/t10k-labels-idx1-ubyte"),
    ):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(trap)
    (told,) = confined(lambda: evaluate(f"{name}:test", tmp_path))
    assert_refused(told, 2, "")
    assert not canary.exists()


def test_as_samples_of_a_run(canary: Path, tmp_path: Path) -> None:
    """The report shows samples of an output folder, with a metadata that agrees."""
    suite = write_suite(tmp_path / "suite")
    with in_this_process():
        assert call("run", suite, "--out", tmp_path / "out").exit_code == 0
    for data in (hostile.pickled(hostile.Trap(canary), 2), hostile.array(np.zeros(3))):
        for path in (tmp_path / "out").glob("runs/*/samples/*.safetensors"):
            store.write_artefact(path, data, {})
        for path in (tmp_path / "out").glob("runs/*/history.csv"):
            store.write_artefact(path, data, {})
        page = tmp_path / "page.html"
        (told,) = confined(lambda page=page: call("report", tmp_path / "out", "--out", page))
        assert told["exit"] == 0, told  # named on the page
        assert "cannot be read" in page.read_text(encoding="utf-8")
    assert not canary.exists()
