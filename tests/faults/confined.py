"""Commands that may take little memory and time, and are to refuse what they are given."""

from __future__ import annotations

import json
import os
import resource
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile
from click.testing import Result

LIMIT, SECONDS = hostile.GIGABYTE, 60
"""What a child may take of memory beyond what it has, and of time."""


def confined(*acts: Callable[[], Result | str]) -> list[dict[str, Any]]:
    """What each act says and exits with, done in a child with little memory and time left."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            room = pages * resource.getpagesize() + LIMIT
            resource.setrlimit(resource.RLIMIT_AS, (room, room))
            signal.alarm(SECONDS)
            told = [_told(act()) for act in acts]
            os.write(writing, json.dumps(told).encode())
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, "ended by a signal"
    assert said, "it raised: the traceback is on standard error"
    found: list[dict[str, Any]] = json.loads(said)
    return found


def _told(done: Result | str) -> dict[str, Any]:
    if isinstance(done, str):
        return {"exit": 1, "stderr": done}
    return {"exit": done.exit_code, "stderr": done.stderr}


def assert_refused(told: dict[str, Any], exit_code: int, name: str) -> None:
    assert told["exit"] == exit_code, told
    assert told["stderr"].startswith("genbench: "), told
    assert told["stderr"].count("\n") == 1, told
    assert name in told["stderr"]
    assert len(told["stderr"]) < 500
