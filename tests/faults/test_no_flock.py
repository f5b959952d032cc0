"""A file system that cannot lock: the same rows, one at a time, and a killed one is taken over."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from corridor import call, comparable, in_this_process, write_suite

from genbench import store

ERRORS = ("ENOSYS", "ENOTSUP", "ENOLCK")


@pytest.fixture(params=ERRORS)
def without_flock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    number = getattr(errno, request.param)

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.filterwarnings("error")
@pytest.mark.usefixtures("without_flock")
def test_a_run(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite")
    with in_this_process():
        for out in ("out", "out", "other"):
            done = call("run", suite, "--out", tmp_path / out)
            assert done.exit_code == 0, done.output
    assert comparable(tmp_path / "out") == comparable(tmp_path / "other")
    assert [row["status"] for row in comparable(tmp_path / "out")] == ["done"] * 3


def test_a_folder_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begun where locks are, and copied to where they are not."""
    with store.lock(tmp_path):
        pass
    assert (tmp_path / ".lock").exists()
    number = errno.ENOSYS
    monkeypatch.setattr(fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(number, "no")))
    with store.lock(tmp_path, busy=lambda: pytest.fail("nobody holds it")):
        pass


@contextmanager
def holder(folder: Path) -> Iterator[int]:
    """Another process that holds the lock of ``folder`` until it is killed."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            with store.lock(folder):
                os.write(writing, b"1")
                signal.pause()
        finally:
            os._exit(1)
    assert os.read(reading, 1) == b"1"
    try:
        yield pid
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.usefixtures("without_flock")
def test_another_waits_and_takes_over(tmp_path: Path) -> None:
    told: list[int] = []
    with holder(tmp_path) as pid:

        def busy() -> None:
            told.append(pid)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

        with store.lock(tmp_path, busy):
            assert told == [pid]
    with store.lock(tmp_path, busy=lambda: pytest.fail("nobody holds it")):
        pass


@pytest.mark.usefixtures("without_flock")
def test_one_that_is_killed_with_nobody_waiting(tmp_path: Path) -> None:
    with holder(tmp_path) as pid:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    with store.lock(tmp_path):
        pass
