"""What every test shares: one thread, plugins kept apart, and where the real data lies."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

sys.path[:0] = [str(Path(__file__).parent / folder) for folder in ("shared", "tools")]

from example import example_folder, example_records  # noqa: E402

from genbench import registry  # noqa: E402

__all__ = ["example_folder", "example_records"]

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def numbers_of_its_own() -> None:
    """The random numbers of a test do not depend on which tests ran before it."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="session")
def cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a command keeps for the next one is kept here, not in the home of who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True, scope="module")
def names_of_its_own() -> Iterator[None]:
    """What the tests of a module register is forgotten with the module: a run whose jobs are other
    processes would not find there what only this one knows."""
    modules = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        for group in registry.GROUPS:
            patch.setattr(group, "added", dict(group.added))
        yield
    for name in set(sys.modules) - modules:
        if name.startswith("genbench_plugin_"):
            del sys.modules[name]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data, MNIST's files among them: ``GENBENCH_TEST_DATA``, or ``../shared/data`` beside the
    checkout."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("GENBENCH_TEST_DATA", default))
    if not (folder / "mnist").is_dir():
        pytest.skip(f"no real data at {folder}; set GENBENCH_TEST_DATA to a folder with mnist/")
    return folder
