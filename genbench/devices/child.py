"""What a new process does, however it was started."""

from __future__ import annotations

import atexit
import os
import pickle
import signal
import sys
import threading
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy

from genbench.api import ProgressEvent
from genbench.api.errors import GenbenchError, UsageError, one_line


class Here(NamedTuple):
    """What a new process inherits from the one that started it."""

    environment: dict[str, str]
    folder: str
    path: list[str]
    argv: list[str]


def compute(connection: Connection) -> None:
    """In a new process, until its end: take over, compute, and say what came of it."""
    try:
        _answer(connection)
    finally:
        _leave()


def _answer(connection: Connection) -> None:
    own, lock = os.getpid(), threading.Lock()

    def send(kind: str, value: Any) -> None:
        if os.getpid() != own:  # a fork of a plugin's, which has come back to here
            os._exit(1)
        with lock:
            connection.send_bytes(pickle.dumps((kind, value)))

    def report(event: ProgressEvent) -> None:
        send("event", event)

    try:
        here = Here(*pickle.loads(connection.recv_bytes()))
        os.environ.clear()
        os.environ.update(here.environment)
        os.chdir(here.folder)
        sys.path[:], sys.argv[:] = here.path, here.argv
        numpy.random.seed()  # noqa: NPY002 — a fork has the server's state, as all others
        function, arguments = pickle.loads(connection.recv_bytes())
        threading.Thread(target=_die_with, args=(connection,), daemon=True).start()
        send("result", function(*arguments, report))
    except BaseException as error:
        send("error", _portable(error))


def _leave() -> None:
    """Exit as the interpreter does, but without tearing down the modules, which the server
    shares."""
    join = threading._shutdown  # type: ignore[attr-defined]
    for step in (join, atexit._run_exitfuncs, sys.stdout.flush, sys.stderr.flush):
        with suppress(BaseException):
            step()
    os._exit(0)


def _portable(error: BaseException) -> GenbenchError:
    """An error that any process can unpickle: a genbench error as it is, any other as text with its
    traceback."""
    if isinstance(error, GenbenchError) and type(error).__module__.startswith("genbench."):
        return error
    if not isinstance(error, GenbenchError | SystemExit | KeyboardInterrupt):
        traceback.print_exception(error)
    return (UsageError if isinstance(error, UsageError) else GenbenchError)(one_line(error))


def _die_with(connection: Connection) -> None:
    """Nothing more is sent here: what can be read is the end of the process that has started this
    one, or of its interest. Two must not train one run."""
    connection.poll(None)
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
