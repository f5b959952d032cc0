"""The cache of a user: private, bounded, and emptied of nothing but what genbench keeps."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from genbench import store
from genbench.api.errors import UsageError
from genbench.cli import main
from genbench.experiment.doctor import doctor
from genbench.store import cache


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def homeless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files of a user without a home."""

    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("GENBENCH_CACHE")
    monkeypatch.setattr(Path, "home", nowhere)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def keep(number: int, size: int, kind: str = "features") -> Path:
    path = store.cache_path(kind, f"{number:016x}.{cache.KINDS[kind]}")
    assert path is not None
    store.write_cached(path, bytes(size), {"n": number})
    return path


def used(path: Path, seconds: float) -> None:
    """As if nothing had used it for that long."""
    for file in (path, store.metadata_path(path)):
        at = file.stat().st_mtime - seconds
        os.utime(file, (at, at))


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_what_was_used_least_recently_goes_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cache.LIMIT, "0.0000035")  # 3,500 bytes
    paths = [keep(number, 1000, kind) for number, kind in enumerate(("features", "pictures"))]
    paths.append(keep(2, 1000))
    for age, path in zip((30, 20, 10), paths, strict=True):
        used(path, age)
    assert store.read_cached(paths[0], lambda contents: len(contents[0])) == 1000
    paths.append(keep(3, 1000))
    there = [path.exists() for path in paths]
    assert there == [True, False, True, True]
    assert [store.metadata_path(path).exists() for path in paths] == there
    assert size_of(folder) <= 3500
    for number in range(4, 40):
        keep(number, 900)
        assert size_of(folder) <= 3500


def test_what_is_larger_than_the_limit_is_not_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cache.LIMIT, "0.000002")
    small = keep(0, 100)
    assert not keep(1, 5000).exists()
    assert small.exists()
    monkeypatch.setenv(cache.LIMIT, "0")
    assert not keep(2, 1).exists()


@pytest.mark.parametrize("limit", ["many", "-1", "nan"])
def test_a_limit_that_is_no_number(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.LIMIT, limit)
    with pytest.raises(UsageError, match=f"GENBENCH_CACHE_LIMIT is '{limit}'"):
        store.cache_folder()
    (found,) = (line for line in doctor() if line.what == "cache")
    assert found.fix is not None


def test_the_command_shows_and_clears_what_genbench_keeps_and_nothing_else(folder: Path) -> None:
    paths = [keep(0, 4_000_000), keep(1, 2_000_000, "pictures")]
    others = ["weights/inception.pth", "features/notes.json", "features/0.safetensors", "mine.txt"]
    others += ["pictures/0000000000000000.json/0000000000000000.json", "mlflow/.lock"]
    others += ["features/0000000000000000.json", "pictures/0000000000000000.safetensors"]
    for name in others:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x" * 10**6)
    (left_behind := folder / "features" / f".genbench-{'0' * 8}-1-1.tmp").touch()
    os.utime(left_behind, (0, 0))
    shown = CliRunner().invoke(main, ["cache"])
    assert shown.exit_code == 0
    assert str(folder) in shown.output
    assert "0.004 GB" in shown.output
    assert "0.002 GB" in shown.output
    assert "10.000 GB (GENBENCH_CACHE_LIMIT)" in shown.output
    (found,) = (line for line in doctor() if line.what == "cache")
    assert found.fix is None
    assert found.value == f"{folder}: 0.01 GB of at most 10 (GENBENCH_CACHE_LIMIT)"
    cleared = CliRunner().invoke(main, ["cache", "--clear"])
    assert cleared.exit_code == 0
    assert "0.004 GB" in cleared.output
    assert not any(path.exists() or store.metadata_path(path).exists() for path in paths)
    assert not left_behind.exists()
    assert all((folder / name).exists() for name in others)
    assert CliRunner().invoke(main, ["cache", "--clear"]).exit_code == 0


def test_without_a_home_the_folder_is_the_user_s_own(homeless: Path) -> None:
    for _ in range(2):
        found = store.cache_folder()
        assert found is not None
        assert found.parent == homeless
        assert found.stat().st_mode & 0o777 == 0o700
        assert found.stat().st_uid == os.getuid()


def shared(path: Path) -> None:
    path.mkdir()
    path.chmod(0o777)


def readable(path: Path) -> None:
    path.mkdir()
    path.chmod(0o755)


def link(path: Path) -> None:
    path.with_name("elsewhere").mkdir(mode=0o700)
    path.symlink_to(path.with_name("elsewhere"))


@pytest.mark.parametrize("taken", [shared, readable, link, Path.touch])
def test_a_folder_that_somebody_may_have_filled_is_not_used(
    homeless: Path, taken: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken(homeless / f"genbench-{os.getuid()}")
    assert store.cache_folder() is None
    store.write_cached(store.cache_path("features", f"{0:016x}.safetensors"), b"", {})
    assert store.read_cached(None, lambda contents: contents) is None
    assert "nothing is kept" in CliRunner().invoke(main, ["cache"]).output
    (found,) = (line for line in doctor() if line.what == "cache")
    assert found.fix is not None


def test_a_folder_of_another_user_is_not_used(
    homeless: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.cache_folder() is not None
    theirs = os.getuid() + 1
    (homeless / f"genbench-{os.getuid()}").rename(homeless / f"genbench-{theirs}")
    monkeypatch.setattr(os, "getuid", lambda: theirs)
    assert store.cache_folder() is None
