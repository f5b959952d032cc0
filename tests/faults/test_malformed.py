"""What holds no samples: a line that names the file and the cause, exit 2, nothing written."""

from __future__ import annotations

import builtins
import errno
import os
import re
import tracemalloc
from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import malformed
import malformed_arrays
import numpy as np
import pytest
from corridor import call
from malformed import GOOD, Case
from PIL import Image

MEGABYTE = 1 << 20

PICTURES = [*malformed.pictures(), *malformed.places()]
ALONE = [
    *chain.from_iterable(
        make()
        for make in (
            malformed.folders,
            malformed_arrays.cut_files,
            malformed_arrays.no_samples,
            malformed_arrays.contradictions,
            malformed_arrays.lying_headers,
            malformed_arrays.archives,
        )
    )
]
STATISTICS = [*malformed_arrays.statistics()]


def named(case: Case) -> str:
    return ascii(case.name)[1:-1]


def test_there_are_enough_of_them() -> None:
    assert len(PICTURES) + len(ALONE) + len(STATISTICS) >= 300


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the inputs lie, beside the folders that must stay empty."""
    for name in ("here", "cache", "given"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "given"


def refusal(samples: Path, reference: str | Path = "points-ring:test") -> str:
    """The one line, where nothing but that line has come of it."""
    before = sorted(samples.parents[1].rglob("*"))
    options = ("--extractor", "identity", "--metrics", "frechet_distance")
    done = call("evaluate", samples, "--against", reference, *options)
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert done.stderr.startswith("genbench: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.strip().isprintable()
    assert len(done.stderr) < 1000
    assert sorted(samples.parents[1].rglob("*")) == before
    return done.stderr


def assert_told(line: str, case: Case) -> None:
    if case.name.isprintable():
        assert case.name in line
    assert re.search(case.cause, line), line


@pytest.mark.parametrize("case", PICTURES, ids=named)
@pytest.mark.timeout(60)
def test_pictures(case: Case, folder: Path) -> None:
    pictures = folder / "pictures"
    pictures.mkdir()
    Image.fromarray(GOOD).save(pictures / "good.png")
    case.make(pictures / case.name)
    line = refusal(pictures, pictures)
    assert_told(line, case)
    assert "good.png (" not in line


@pytest.mark.parametrize("case", ALONE, ids=named)
@pytest.mark.timeout(60)
def test_files_and_folders(case: Case, folder: Path) -> None:
    case.make(folder / case.name)
    tracemalloc.start()
    try:
        assert_told(refusal(folder / case.name), case)
        assert tracemalloc.get_traced_memory()[1] < 50 * MEGABYTE
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("case", STATISTICS, ids=named)
def test_statistics(case: Case, folder: Path) -> None:
    samples = folder / "samples.npy"
    np.save(samples, np.zeros((9, 2), np.float32))
    case.make(folder / case.name)
    assert_told(refusal(samples, folder / case.name), case)


def test_statistics_are_no_samples(folder: Path) -> None:
    path = folder / "statistics.npz"
    np.savez(path, mu=np.zeros(2), sigma=np.eye(2))
    assert "holds statistics, not samples" in refusal(path)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE, errno.ENOENT])
@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.pt", "x.safetensors", "pictures/x.png"])
def test_unreadable(number: int, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the system tells it, even where the tests may read everything."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"never seen")

    def refusing(opened: Callable[..., Any], file: Any, *arguments: Any, **named: Any) -> Any:
        if str(file) == str(path):
            raise OSError(number, os.strerror(number), str(file))
        return opened(file, *arguments, **named)

    for module in (builtins, os):
        monkeypatch.setattr(module, "open", partial(refusing, module.open))
    line = refusal(path.parent if path.suffix == ".png" else path)
    assert path.name in line
    assert os.strerror(number) in line


def test_an_unreadable_folder_within(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = folder / "pictures" / "inner"
    inner.mkdir(parents=True)
    Image.fromarray(GOOD).save(folder / "pictures" / "good.png")
    scanned = os.scandir

    def refused(place: Any) -> Any:
        if str(place) == str(inner):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))
        return scanned(place)

    monkeypatch.setattr(os, "scandir", refused)
    assert f"{inner}: Permission denied" in refusal(inner.parent)
