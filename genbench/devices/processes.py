"""Processes of this machine that have nothing of each other's.

Each is forked from a clean server: a process that has imported torch and genbench, but no plugin
and no ``__main__``, that has run no operation and never asked for a GPU. Neither a process nor this
one can then leave anything behind for another, and starting one costs no import. Variables such as
``OMP_NUM_THREADS`` are read when torch is imported: there is one server for each set of them.
"""

from __future__ import annotations

import atexit
import gc
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from itertools import count
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any, Literal, NamedTuple

import numpy

from genbench.api import ProgressEvent
from genbench.api.errors import GenbenchError, UsageError, one_line

PRELOAD = ("torch._dynamo", "lightning_fabric", "genbench.experiment")
"""What almost every job imports. By name: the server may know what this module must not import."""

READ_AT_IMPORT = (
    *("OMP", "GOMP", "KMP", "MKL", "OPENBLAS", "BLIS", "VECLIB", "NUMEXPR", "DNNL", "ONEDNN"),
    *("ATEN", "TORCH", "PYTORCH", "CUDA", "CUBLAS", "NCCL", "LD", "DYLD", "MALLOC", "PYTHON"),
)
"""The first words of variables that a library may read once: a server has them from its start."""

KEPT_SERVERS = 2
"""Servers of other environments are ended once nothing of theirs runs."""

Message = tuple[Literal["event", "result", "error", "lost"], Any]
"""What a process says: its events, then its result or error. ``lost``: what cannot be read."""

_REQUEST = struct.Struct("!cq")
"""``s`` (start, with the process's end of its connection) or ``k`` (kill), and a number."""
_EXIT = struct.Struct("!qi")
"""The number of a process that has ended, and its exit code."""


class Process:
    """A process that computes one function."""

    def __init__(self, server: _Server, number: int, connection: Connection) -> None:
        self._server, self._number = server, number
        self.connection = connection
        """Readable when there is a message, or when the process has closed its end."""

    @property
    def exit_code(self) -> int | None:
        """``None`` while it runs; the negative signal number where a signal ended it.

        A child of its own that holds the connection open does not hide its end.
        """
        return self._server.exit_code(self._number)

    @property
    def ends(self) -> socket.socket:
        """Readable when some process of the same server has ended."""
        return self._server.control

    def receive(self) -> Message | None:
        """The next message; ``None`` where there is none now. Raises ``EOFError`` at the end."""
        if not self.connection.poll():
            return None
        try:
            data = self.connection.recv_bytes()
        except OSError as error:
            raise EOFError from error
        try:
            message: Message = pickle.loads(data)
        except Exception as error:
            return "lost", GenbenchError(f"its answer cannot be read: {one_line(error)}")
        return message

    def kill(self) -> None:
        """End it and what it has started, at once."""
        self._server.kill(self._number)

    def close(self) -> None:
        """Kill it where it runs, and wait for its end."""
        while self.exit_code is None:
            self.kill()
            wait([self.ends], timeout=1)
        self.connection.close()


def start(
    function: Callable[..., Any],
    *arguments: Any,
    environment: Mapping[str, str],
    variables: Mapping[str, str],
) -> Process:
    """Compute ``function(*arguments, report)`` in a process of its own, in this working folder.

    ``variables`` are set there on top of ``environment``, before anything of the two is imported.
    What is sent either way is pickled: the function must be importable there.
    """
    here = _Here({**environment, **variables}, os.getcwd(), list(sys.path), list(sys.argv))
    process = _server(environment).start()
    with suppress(OSError):  # it has died already, which shows
        process.connection.send_bytes(pickle.dumps(tuple(here)))
        process.connection.send_bytes(pickle.dumps((function, arguments)))
    return process


class _Here(NamedTuple):
    """What a new process takes over from this one."""

    environment: dict[str, str]
    folder: str
    path: list[str]
    argv: list[str]


class _Server:
    """This process's end of a fork server."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.control, theirs = socket.socketpair()
        self._numbers = count()
        self._running: set[int] = set()
        self._ended: dict[int, int] = {}
        code = (
            "import sys; sys.path[:] = sys.argv[2:]; "
            f"from {__name__} import serve; serve(int(sys.argv[1]))"
        )
        flags = [f"-W{option}" for option in sys.warnoptions]
        with theirs:
            self._popen = subprocess.Popen(
                [sys.executable, *flags, "-c", code, str(theirs.fileno()), *sys.path],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    @property
    def idle(self) -> bool:
        self._collect()
        return not self._running

    @property
    def alive(self) -> bool:
        self._collect()
        return self._popen.poll() is None

    def start(self) -> Process:
        ours, theirs = Pipe()
        number = next(self._numbers)
        self._running.add(number)
        with theirs, suppress(OSError):  # a server that has died: its processes have, too
            socket.send_fds(self.control, [_REQUEST.pack(b"s", number)], [theirs.fileno()])
        return Process(self, number, ours)

    def kill(self, number: int) -> None:
        with suppress(OSError):
            self.control.sendall(_REQUEST.pack(b"k", number))

    def exit_code(self, number: int) -> int | None:
        self._collect()
        return self._ended.get(number)

    def close(self) -> None:
        self.control.close()
        self._popen.wait()

    def _collect(self) -> None:
        """Read what the server says of ended processes, without waiting."""
        while self._running and wait([self.control], timeout=0):
            try:
                data = self.control.recv(_EXIT.size, socket.MSG_WAITALL)
            except OSError:
                data = b""
            if len(data) < _EXIT.size:  # the server has died, and they with it
                self._ended |= dict.fromkeys(self._running, -signal.SIGKILL)
                self._running.clear()
                return
            number, code = _EXIT.unpack(data)
            self._ended[number] = code
            self._running.discard(number)


_servers: dict[tuple[tuple[str, str], ...], _Server] = {}


@atexit.register
def _close_servers() -> None:
    """They would end by themselves; Python warns of a process that nobody waits for."""
    while _servers:
        _servers.popitem()[1].close()


def _server(environment: Mapping[str, str]) -> _Server:
    """The server of that environment, the newest last."""
    read = {n: v for n, v in environment.items() if n.partition("_")[0].startswith(READ_AT_IMPORT)}
    key = tuple(sorted(read.items()))
    server = _servers.pop(key, None)
    if server is not None and not server.alive:
        server.close()
        server = None
    if server is None:
        for other in [k for k, s in _servers.items() if s.idle][: len(_servers) + 1 - KEPT_SERVERS]:
            _servers.pop(other).close()
        server = _Server(environment)
    _servers[key] = server
    return server


def serve(control: int) -> None:
    """In the server: fork at each request until the process that has started it is gone."""
    request = _serve(socket.socket(fileno=control))
    if request is not None:  # in a fork
        try:
            _compute(*request)
        finally:
            _leave()


def _serve(control: socket.socket) -> tuple[Connection, int] | None:
    """``None`` at the server's end; in each fork, its connection, and a pipe that the server's
    death closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that has started it answers
    for module in PRELOAD:
        import_module(module)
    gc.freeze()  # a collection in a fork would copy all that is shared
    alive, held = os.pipe()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    numbers: dict[int, int] = {}
    while True:
        ready = wait([control, woken])
        if woken in ready:
            os.read(woken, 4096)
            _tell_ended(control, numbers)
        if control not in ready:
            continue
        data, received, _, _ = socket.recv_fds(control, _REQUEST.size, 1)
        if not data:
            for pid in numbers:
                _kill_group(pid)
            return None
        kind, number = _REQUEST.unpack(data)
        if kind == b"k":
            for pid, known in numbers.items():
                if known == number:
                    _kill_group(pid)
            continue
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            for descriptor in (held, woken, wake):
                os.close(descriptor)
            os.setpgid(0, 0)
            return Connection(received[0]), alive
        with suppress(OSError):  # here too, so that no kill comes before it
            os.setpgid(pid, pid)
        os.close(received[0])
        numbers[pid] = number


def _tell_ended(control: socket.socket, numbers: dict[int, int]) -> None:
    for pid in list(numbers):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            _kill_group(pid)  # what it has left behind
            code = os.waitstatus_to_exitcode(status)
            with suppress(OSError):
                control.sendall(_EXIT.pack(numbers.pop(pid), code))


def _kill_group(pid: int) -> None:
    with suppress(OSError):
        os.killpg(pid, signal.SIGKILL)


def _compute(connection: Connection, alive: int) -> None:
    """In a fork: take over, compute, and say what came of it."""
    threading.Thread(target=_die_with, args=(alive,), daemon=True).start()
    own, lock = os.getpid(), threading.Lock()

    def send(kind: str, value: Any) -> None:
        if os.getpid() != own:  # a fork of a plugin's, which has come back to here
            os._exit(1)
        with lock:
            connection.send_bytes(pickle.dumps((kind, value)))

    def report(event: ProgressEvent) -> None:
        send("event", event)

    try:
        here = _Here(*pickle.loads(connection.recv_bytes()))
        os.environ.clear()
        os.environ.update(here.environment)
        os.chdir(here.folder)
        sys.path[:], sys.argv[:] = here.path, here.argv
        numpy.random.seed()  # noqa: NPY002 — a fork has the server's state, as all others
        function, arguments = pickle.loads(connection.recv_bytes())
        send("result", function(*arguments, report))
    except BaseException as error:
        send("error", _portable(error))


def _leave() -> None:
    """Exit as the interpreter does, but for taking down every module, which are the server's."""
    join = threading._shutdown  # type: ignore[attr-defined]
    for step in (join, atexit._run_exitfuncs, sys.stdout.flush, sys.stderr.flush):
        with suppress(BaseException):
            step()
    os._exit(0)


def _portable(error: BaseException) -> GenbenchError:
    """An error as any process can read it: genbench's own, with a traceback for all others."""
    if isinstance(error, GenbenchError) and type(error).__module__.startswith("genbench."):
        return error
    if not isinstance(error, GenbenchError | SystemExit | KeyboardInterrupt):
        traceback.print_exception(error)
    return (UsageError if isinstance(error, UsageError) else GenbenchError)(one_line(error))


def _die_with(alive: int) -> None:
    """A killed server cannot end its processes, and two of them must not train one run."""
    os.read(alive, 1)
    os.killpg(0, signal.SIGKILL)
