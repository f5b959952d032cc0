"""Clocks that stand still, go backwards, or leap: the same rows, and no time below zero."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from corridor import call, comparable, in_this_process, write_suite

from genbench.store.records import read_records

YEAR = 365 * 86_400.0


def backwards(start: float) -> Callable[[], float]:
    ticks = itertools.count()
    return lambda: start - 60.0 * next(ticks)


def leaping(start: float) -> Callable[[], float]:
    leaps = itertools.cycle([0.0, YEAR, -YEAR, 0.0, 40 * YEAR])
    return lambda: start + next(leaps)


def still(start: float) -> Callable[[], float]:
    return lambda: start


CLOCKS = {"backwards": backwards, "leaping": leaping, "still": still}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    with in_this_process():
        assert call("run", write_suite(folder), "--out", folder / "out").exit_code == 0
    return folder / "out"


@pytest.mark.parametrize("function", ["time", "perf_counter"])
@pytest.mark.parametrize("clock", CLOCKS)
def test_a_run(
    clock: str,
    function: str,
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    suite = write_suite(tmp_path)
    monkeypatch.setattr(time, function, CLOCKS[clock](getattr(time, function)()))
    with in_this_process():
        options = ["--out", tmp_path / "out", "--logger", "csv"]
        for _ in range(2):  # the second time everything is there
            done = call("run", suite, *options)
            assert done.exit_code == 0, done.output
        assert call("table", tmp_path / "out").exit_code == 0
        assert call("report", tmp_path / "out", "--out", tmp_path / "page.html").exit_code == 0
    assert comparable(tmp_path / "out") == comparable(undisturbed)
    for record in read_records(tmp_path / "out"):
        for name in ("training_seconds", "seconds_per_sample"):
            assert (record.cost.get(name) or 0) >= 0, (record.entry, name)
