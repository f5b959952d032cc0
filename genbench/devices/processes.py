"""Processes of this machine that share no state.

Each is forked from a clean server, ``genbench.devices.forkserver``: neither a process nor this one
can leave anything behind for another, and starting one costs no import. Variables such as
``OMP_NUM_THREADS`` are read when torch is imported: there is one server for each set of them. Where
nothing can be forked, as on Windows, each is a new interpreter.
"""

from __future__ import annotations

import os
import pickle
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, Literal, Protocol

from genbench.api.errors import GenbenchError, one_line
from genbench.devices.child import Here, compute

FORKS = hasattr(os, "fork") and hasattr(socket, "send_fds")
"""Whether this system can fork a process with its end of a connection."""

START_SECONDS = 300.0
"""In which a new interpreter must have answered."""

Message = tuple[Literal["event", "result", "error", "lost"], Any]
"""A message of a process: its events, then its result or error. ``lost``: a message that cannot be
read."""


class Process(Protocol):
    """A process that computes one function."""

    connection: Connection
    """Readable when there is a message, or when the process has closed its end."""

    @property
    def exit_code(self) -> int | None:
        """``None`` while it runs; the negative signal number if a signal ended it.

        It is known even if a child of the process holds the connection open.
        """
        ...

    @property
    def ends(self) -> Any:
        """Readable when it may have ended."""
        ...

    def kill(self) -> None:
        """Kill it and its children."""
        ...


class Forked:
    """A process of a fork server."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        from genbench.devices.forkserver import server

        self._server = server(environment)
        self._number, self.connection = self._server.start()

    @property
    def exit_code(self) -> int | None:
        return self._server.exit_code(self._number)

    @property
    def ends(self) -> socket.socket:
        """Readable when some process of the same server has ended."""
        return self._server.control

    def kill(self) -> None:
        self._server.kill(self._number)


class Spawned:
    """A new interpreter, which connects to this process."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        code = (
            "import sys; sys.path[:] = sys.argv[3:]; "
            f"from {__name__} import connect; connect(int(sys.argv[1]), sys.argv[2])"
        )
        flags = [f"-W{option}" for option in sys.warnoptions]
        token = secrets.token_hex()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(1)
            port = str(listener.getsockname()[1])
            self._popen = subprocess.Popen(
                [sys.executable, *flags, "-c", code, port, token, *sys.path],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                process_group=0 if os.name == "posix" else None,
            )
            self.connection = self._accepted(listener, token.encode())

    def _accepted(self, listener: socket.socket, token: bytes) -> Connection:
        """The connection of the process that knows ``token``; one at its end where it dies."""
        until = time.monotonic() + START_SECONDS
        while self._popen.poll() is None and time.monotonic() < until:
            with suppress(OSError):  # nobody within the second, or somebody else
                other, _ = listener.accept()
                other.settimeout(1)
                if secrets.compare_digest(other.recv(len(token), socket.MSG_WAITALL), token):
                    other.settimeout(None)
                    return Connection(other.detach())
                other.close()
        self.kill()
        ours, theirs = socket.socketpair()
        theirs.close()
        return Connection(ours.detach())

    @property
    def exit_code(self) -> int | None:
        code: int | None = self._popen.poll()
        if code is not None:
            self.kill()  # what it has left behind
        return code

    @property
    def ends(self) -> Connection:
        return self.connection

    def kill(self) -> None:
        if os.name != "posix":
            self._popen.kill()
        else:
            with suppress(OSError):
                os.killpg(self._popen.pid, signal.SIGKILL)


def connect(port: int, token: str) -> None:
    """In a new interpreter: answer, and compute."""
    with socket.create_connection(("127.0.0.1", port)) as answered:
        answered.sendall(token.encode())
        connection = Connection(answered.detach())
    compute(connection)


def start(
    function: Callable[..., Any],
    *arguments: Any,
    environment: Mapping[str, str],
    variables: Mapping[str, str],
) -> Process:
    """Compute ``function(*arguments, report)`` in a new process, in this working folder.

    ``variables`` are set there on top of ``environment``, before anything of the two is imported.
    What is sent either way is pickled: the function must be importable there.
    """
    here = Here({**environment, **variables}, os.getcwd(), list(sys.path), list(sys.argv))
    process: Process = Forked(environment) if FORKS else Spawned(here.environment)
    with suppress(OSError):  # it has died already; its exit code tells
        process.connection.send_bytes(pickle.dumps(tuple(here)))
        process.connection.send_bytes(pickle.dumps((function, arguments)))
    return process


def receive(process: Process) -> Message | None:
    """Its next message; ``None`` if there is none now. Raises ``EOFError`` at the end."""
    try:
        if not process.connection.poll():
            return None
        data = process.connection.recv_bytes()
    except OSError as error:
        raise EOFError from error
    try:
        message: Message = pickle.loads(data)
    except Exception as error:
        return "lost", GenbenchError(f"its answer cannot be read: {one_line(error)}")
    return message


def close(process: Process) -> None:
    """Kill it where it runs, and wait for its end."""
    while process.exit_code is None:
        process.kill()
        wait([process.ends], timeout=0.1)
    process.connection.close()
