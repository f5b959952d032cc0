"""A process that has imported torch and genbench, but no plugin and no ``__main__``, and forks.

It has run no operation and has never asked for a GPU.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from itertools import count
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait

from genbench.devices.child import compute

PRELOAD = ("torch._dynamo", "lightning_fabric", "genbench.experiment")
"""The modules that almost every job imports, by name, since this module must not import them."""

READ_AT_IMPORT = (
    *("OMP", "GOMP", "KMP", "MKL", "OPENBLAS", "BLIS", "VECLIB", "NUMEXPR", "DNNL", "ONEDNN"),
    *("ATEN", "TORCH", "PYTORCH", "CUDA", "CUBLAS", "NCCL", "LD", "DYLD", "MALLOC", "PYTHON"),
)
"""The first words of variables that a library may read once: a server has them from its start."""

KEPT_SERVERS = 2
"""Servers of other environments are stopped when none of their processes runs."""

_REQUEST = struct.Struct("!cq")
"""``s`` (start, with the process's end of its connection) or ``k`` (kill), and a number."""
_EXIT = struct.Struct("!qi")
"""The number of a process that has ended, and its exit code."""


class Server:
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

    def start(self) -> tuple[int, Connection]:
        """The number of a new process, and this end of its connection."""
        ours, theirs = Pipe()
        number = next(self._numbers)
        self._running.add(number)
        with theirs, suppress(OSError):  # a server that has died: its processes have, too
            socket.send_fds(self.control, [_REQUEST.pack(b"s", number)], [theirs.fileno()])
        return number, ours

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
        """Read the server's messages about ended processes, without waiting."""
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


_servers: dict[tuple[tuple[str, str], ...], Server] = {}


@atexit.register
def _close_servers() -> None:
    """They would end by themselves; Python warns of a process that nobody waits for."""
    while _servers:
        _servers.popitem()[1].close()


def server(environment: Mapping[str, str]) -> Server:
    """The server of that environment, the newest last."""
    read = {n: v for n, v in environment.items() if n.partition("_")[0].startswith(READ_AT_IMPORT)}
    key = tuple(sorted(read.items()))
    found = _servers.pop(key, None)
    if found is not None and not found.alive:
        found.close()
        found = None
    if found is None:
        for other in [k for k, s in _servers.items() if s.idle][: len(_servers) + 1 - KEPT_SERVERS]:
            _servers.pop(other).close()
        found = Server(environment)
    _servers[key] = found
    return found


def serve(control: int) -> None:
    """Runs in the server: fork at each request, until the process that started the server has
    ended."""
    with socket.socket(fileno=control) as listening:
        connection = _serve(listening)
    if connection is not None:  # in a fork
        compute(connection)


def _serve(control: socket.socket) -> Connection | None:
    """``None`` at the server's end; in each fork, its connection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that has started it answers
    for module in PRELOAD:
        import_module(module)
    gc.freeze()  # a collection in a fork would copy all that is shared
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
            for descriptor in (woken, wake):
                os.close(descriptor)
            os.setpgid(0, 0)
            return Connection(received[0])
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
