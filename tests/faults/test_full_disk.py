"""A disk that is full, read-only or not ours, from any call on that would change it."""

from __future__ import annotations

import errno
import os
import random
import re
import shutil
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from inspect import currentframe
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from corridor import TOY, call, comparable, in_this_process, write_suite
from disk import Call, watched
from torchvision import datasets

import genbench
from genbench import store
from genbench.api import SampleSpec, TensorSamples
from genbench.io.arrays import save_npz
from genbench.store.records import RECORDS, read_records

PACKAGE = str(Path(genbench.__file__).parent)
RGB = TensorSamples(
    SampleSpec("image", (3, 8, 8)), "rgb", torch.zeros(3, 3, 8, 8, dtype=torch.uint8)
)
ALL = re.compile(".*")
CAUSES = (errno.ENOSPC, errno.EROFS, errno.EACCES)


class Fault:
    """Lets calls pass up to one, and fails that one; ``lasting``: and all that follow."""

    def __init__(self, cause: int, lasting: bool, at: Callable[[Call], bool]) -> None:
        self.cause, self.lasting, self.at = cause, lasting, at
        self.failed: list[Call] = []

    def __call__(self, call: Call) -> None:
        if self.lasting if self.failed else self.at(call):
            self.failed.append(call)
            raise OSError(self.cause, os.strerror(self.cause), str(call.path))


class Places:
    """Tells calls apart: by what is done to which file, from where in the code, for which time."""

    def __init__(self) -> None:
        self.seen: Counter[object] = Counter()

    def __call__(self, call: Call) -> object:
        stack = traceback.walk_stack(currentframe())
        lines = ((frame.f_code.co_filename, line) for frame, line in stack)
        code = tuple(at for at in lines if at[0].startswith(PACKAGE))
        place = (call.kind, call.path.name.replace(str(os.getpid()), ""), code)
        self.seen[place] += 1
        return place, self.seen[place]


def assert_told(done: Result, fault: Fault) -> None:
    """One line that names the file, or the one for whose sake it was touched, and the cause."""
    assert done.exit_code == 1, (fault.failed, done.output)
    told = [line for line in done.stderr.splitlines() if line.startswith("genbench: ")]
    assert told == done.stderr.splitlines()[-1:], done.stderr
    assert "Traceback" not in done.output
    assert told[0].endswith(f": {os.strerror(fault.cause)}")
    named = Path(told[0].removeprefix("genbench: cannot write ").rpartition(": ")[0])
    touched = fault.failed[0].path
    assert named.is_absolute()
    assert touched == named or touched.parent == named.parent or touched == named.parent


def assert_intact(folder: Path) -> None:
    assert list(store.damaged(folder, ALL)) == []
    if (folder / RECORDS).exists():
        read_records(folder)


def every_call_fails_once(folder: Path, command: list[str | Path]) -> set[object]:
    """The command again and again in one folder, each time failing at the first call that had not
    failed yet; until it ends well. What each try leaves is what the next one finds."""
    failed: set[object] = set()
    while True:
        places, before = Places(), len(failed)

        def is_new(call: Call) -> bool:
            place = places(call)  # noqa: B023 - called in this turn only
            return place not in failed and (failed.add(place) or True)

        fault = Fault(CAUSES[before % 3], lasting=before // 3 % 2 == 0, at=is_new)
        with in_this_process(), watched(folder, fault):
            done = call(*command)
        if not fault.failed:
            assert done.exit_code == 0, done.output
            return failed
        assert_told(done, fault)
        assert_intact(folder)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_suite(tmp_path_factory.mktemp("suite"))


@pytest.fixture(scope="module")
def calls(suite: Path) -> dict[object, Call]:
    """Every call of an undisturbed run, whatever the file; it leaves ``out`` beside the suite."""
    made: dict[object, Call] = {}
    places = Places()
    with in_this_process(), watched(Path("/"), lambda call: made.update({places(call): call})):
        done = call("run", suite, "--out", suite.parent / "out")
    assert done.exit_code == 0, done.output
    return {place: call for place, call in made.items() if call.path != Path("/dev/null")}


def test_nothing_is_written_elsewhere(suite: Path, calls: dict[object, Call]) -> None:
    out = suite.parent / "out"
    assert len(calls) > 200
    elsewhere = {call.path for call in calls.values() if not call.path.is_relative_to(out)}
    assert elsewhere == {suite.parent}  # in which the name of ``out`` is synced


def test_run_at_every_call(suite: Path, calls: dict[object, Call], tmp_path: Path) -> None:
    out = tmp_path / "out"
    failed = every_call_fails_once(tmp_path, ["run", suite, "--out", out])
    assert comparable(out) == comparable(suite.parent / "out")
    assert not list(out.rglob("*.tmp"))
    # What is done but once, at the end of the last run, was not reached again after it had failed.
    missed = [
        place
        for place, call in calls.items()
        if place not in failed and call.path != suite.parent  # the same call, of another name
    ]
    print(
        f"{len(failed)} calls failed; {len(missed)} of {len(calls)} of an undisturbed run not yet"
    )
    assert len(missed) < 30
    for number, place in enumerate(missed):
        places = Places()
        at = lambda call, places=places, place=place: places(call) == place  # noqa: E731
        assert_mended(suite, tmp_path / str(number), Fault(CAUSES[number % 3], True, at))


@pytest.mark.parametrize("number", range(12))
def test_run_at_a_random_call(
    number: int, suite: Path, calls: dict[object, Call], tmp_path: Path
) -> None:
    numbers, at = count(), random.Random(number).randrange(len(calls))
    fault = Fault(CAUSES[number % 3], number % 2 == 0, lambda call: next(numbers) == at)
    assert_mended(suite, tmp_path, fault)
    print(f"call {at}: {fault.failed[0].kind} {fault.failed[0].path}")


def assert_mended(suite: Path, folder: Path, fault: Fault) -> None:
    """From nothing to the fault, and from there to the end."""
    folder.mkdir(exist_ok=True)
    with in_this_process():
        with watched(folder, fault):
            done = call("run", suite, "--out", folder / "out")
        assert_told(done, fault)
        assert_intact(folder)
        assert call("run", suite, "--out", folder / "out").exit_code == 0
    assert comparable(folder / "out") == comparable(suite.parent / "out")


def test_a_finished_run_needs_no_disk_but_its_lock(suite: Path, calls: dict[object, Call]) -> None:
    made: list[Call] = []
    with in_this_process(), watched(suite.parent, made.append):
        assert call("run", suite, "--out", suite.parent / "out").exit_code == 0
    # Whoever locks makes sure of the folder.
    assert {(m.kind, m.path.name) for m in made} == {("open", ".lock"), ("mkdir", "out")}


def test_train_sample_and_report_at_every_call(
    suite: Path, calls: dict[object, Call], tmp_path: Path
) -> None:
    run, file, page = tmp_path / "run", tmp_path / "s.npz", tmp_path / "page.html"
    train = ["train", "toy", "points-ring", "--examples", "64", "--out", run]
    sample = ["sample", run, "--count", "9", "--out", file]
    assert len(every_call_fails_once(tmp_path, train)) > 40
    assert len(every_call_fails_once(tmp_path, sample)) > 10
    report = every_call_fails_once(tmp_path, ["report", suite.parent / "out", "--out", page])
    assert len(report) == 5  # open, write, fsync, replace, and the folder's own fsync
    again = tmp_path / "again"
    assert call(*train[:-1], again).exit_code == 0
    assert call("sample", again, "--count", "9", "--out", tmp_path / "t.npz").exit_code == 0
    with np.load(file) as ours, np.load(tmp_path / "t.npz") as theirs:
        assert np.array_equal(ours["samples"], theirs["samples"])
    shutil.rmtree(again)
    assert page.stat().st_size > 0


@pytest.mark.parametrize("cause", CAUSES)
def test_a_download_that_cannot_be_stored(
    cause: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those write by themselves, whole files: it is the disk that is at fault, not the network."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(cause, os.strerror(cause))

    monkeypatch.setattr(datasets, "MNIST", fail)
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    monkeypatch.setenv("GENBENCH_WEIGHTS", str(tmp_path / "weights"))
    save_npz(tmp_path / "rgb.npz", RGB)
    for samples, named in (("mnist", tmp_path / "data"), (tmp_path / "rgb.npz", "weights")):
        done = call("evaluate", samples, "--against", samples, "--data-dir", tmp_path / "data")
        assert done.exit_code == 1, done.output
        assert done.stderr.startswith("genbench: cannot write ")
        assert str(named) in done.stderr
        assert done.stderr.endswith(f": {os.strerror(cause)}\n")
        assert done.stderr.count("\n") == 1


PLUGIN = f"""
from pathlib import Path
from genbench import registry, store
from genbench.training import loop

registry.add_plugin_file(Path({str(TOY)!r}))
loop.CHECKPOINT_SECONDS = 0.0
write = store.artefacts.write_bytes

def full(path, data):
    if path.name.startswith("checkpoint"):
        raise store.CannotWrite.of(path, OSError(28, "No space left on device"))
    write(path, data)

store.artefacts.write_bytes = full
"""


def test_a_rank_that_cannot_write_ends_them_all_at_once(tmp_path: Path) -> None:
    """It is told as it is, and not as a rank out of step with the others, who never write."""
    plugin, run = tmp_path / "full.py", tmp_path / "run"
    plugin.write_text(PLUGIN, encoding="utf-8")
    options = ["--devices", "2", "--examples", "6400", "--plugin", plugin, "--out", run]
    done = subprocess.run(
        [sys.executable, "-m", "genbench", "train", "toy", "points-ring", *map(str, options)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    told = f"genbench: cannot write {run}/checkpoint-0.pt: No space left on device\n"
    assert done.stderr == told
