"""A process that ends at any call of a save, or in the middle of a write: the old or the new."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from disk import Call, watched

from genbench import store
from genbench.store import records as stored_records
from genbench.store.records import Record
from genbench.training import checkpoint

Act = Callable[[Path], Any]
OLD = Record("s", "old", "m", "m", "d", 0, "done")
NEW = replace(OLD, entry="new", reason="x" * 100)


def killed(folder: Path, act: Act, at: int, torn: bool) -> bool:
    """Do ``act`` in a child that ends, without another word, at its call number ``at``; with
    ``torn`` half of what that call would write is written. Whether it came so far."""
    pid = os.fork()
    if pid == 0:
        numbers = count(1)

        def end(call: Call) -> None:
            if next(numbers) == at:
                if torn:
                    call.tear()
                os._exit(9)

        status = 1
        try:
            with watched(folder, end):
                act(folder)
            status = 0
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, 9)
    return status == 9


def put(name: str, value: str) -> Act:
    return lambda folder: store.write_bytes(folder / name, value.encode())


def metadata(value: str) -> Act:
    return lambda folder: store.write_metadata(folder / "a.json", {"value": value})


def artefact(value: str) -> Act:
    return lambda folder: store.write_artefact(folder / "a.bin", value.encode(), {"value": value})


def state(step: int) -> Act:
    whole = dict.fromkeys(checkpoint.STATE) | {"step": step, "model": {"w": torch.ones(step)}}
    return lambda folder: checkpoint.save_state(folder, whole)


def snapshot(folder: Path) -> None:
    checkpoint.save_snapshot(folder, 64, "ema", {"w": torch.ones(9)})


def records(record: Record) -> Act:
    return lambda folder: stored_records.write_records(folder, [record])


def states(*steps: int) -> Act:
    return lambda folder: [state(step)(folder) for step in steps]


def nothing(folder: Path) -> None:
    pass


def text(folder: Path) -> str | None:
    path = folder / "deep" / "a.txt"
    return path.read_text() if path.exists() else None


def metadata_value(folder: Path) -> str | None:
    found = store.read_metadata(folder / "a.json")
    return found and str(found["value"])


def artefact_value(folder: Path) -> str | None:
    found = store.read_artefact(folder / "a.bin")
    assert found is None or found[0].decode() == found[1]["value"]
    return found and found[0].decode()


def step(folder: Path) -> int | None:
    found = checkpoint.load_state(folder)
    assert found is None or found["model"]["w"].sum() == found["step"]
    return found and int(found["step"])


def snapshot_sum(folder: Path) -> float | None:
    if store.read_artefact(checkpoint.snapshot_path(folder, 64, "ema")) is None:
        return None
    return float(checkpoint.load_snapshot(folder, 64, "ema")["w"].sum())


def entry(folder: Path) -> str:
    return stored_records.read_records(folder)[0].entry


# What is there before, what is done, how it is read; what may be found, the new one last.
SAVES: dict[str, tuple[Act, Act, Act, list[Any]]] = {
    "a new file": (nothing, put("deep/a.txt", "new"), text, [None, "new"]),
    "a file": (put("deep/a.txt", "old"), put("deep/a.txt", "new"), text, ["old", "new"]),
    "a new metadata": (nothing, metadata("new"), metadata_value, [None, "new"]),
    "a metadata": (metadata("old"), metadata("new"), metadata_value, ["old", "new"]),
    "a new artefact": (nothing, artefact("new"), artefact_value, [None, "new"]),
    "the same artefact": (artefact("new"), artefact("new"), artefact_value, [None, "new"]),
    # Never one with the other's metadata. Nothing of a run is replaced by something else but
    # states, which have two places for that.
    "another artefact": (artefact("old"), artefact("new"), artefact_value, ["old", None, "new"]),
    "the first state": (nothing, state(1), step, [None, 1]),
    "the second state": (state(1), state(2), step, [1, 2]),
    "the third state": (states(1, 2), state(3), step, [2, 3]),
    "the fourth state": (states(1, 2, 3), state(4), step, [3, 4]),
    "a snapshot": (nothing, snapshot, snapshot_sum, [None, 9.0]),
    "a snapshot again": (snapshot, snapshot, snapshot_sum, [None, 9.0]),
    "records": (records(OLD), records(NEW), entry, ["old", "new"]),
}


@pytest.mark.parametrize("torn", [False, True], ids=["whole", "torn"])
@pytest.mark.parametrize("name", SAVES)
def test_killed_at_every_call(name: str, torn: bool, tmp_path: Path) -> None:
    before, act, read, valid = SAVES[name]
    found = []
    for at in count(1):
        folder = tmp_path / str(at)
        folder.mkdir()
        before(folder)
        first = read(folder)
        went_on = killed(folder, act, at, torn)
        found.append(read(folder))
        act(folder)  # whatever was left does not stand in the way
        assert read(folder) == valid[-1]
        with store.lock(folder):
            assert not [path for path in folder.rglob("*") if path.name.endswith(".tmp")]
        shutil.rmtree(folder)
        if not went_on:
            break
    assert at > 5  # open, write, fsync, replace, and the folder's own fsync
    assert set(found) <= set(valid)
    assert found[-1] == valid[-1]
    if first != valid[-1]:  # it changes once, and not at the first call
        assert found[0] == first
        assert found == sorted(found, key=valid.index)


@pytest.mark.parametrize("torn", [False, True], ids=["whole", "torn"])
def test_clearing_the_state_leaves_a_valid_one_or_none(torn: bool, tmp_path: Path) -> None:
    for at in count(1):
        folder = tmp_path / str(at)
        folder.mkdir()
        states(1, 2, 3)(folder)
        went_on = killed(folder, checkpoint.clear_state, at, torn)
        # A metadata and its file, twice: without the second metadata there is none.
        assert step(folder) in ((3, 2) if at < 4 else (None,))
        if not went_on:
            break
    assert at == 5
