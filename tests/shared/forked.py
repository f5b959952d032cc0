"""Commands in processes of their own that need no import."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pytest

from genbench.cli import main
from genbench.executors import local


@contextmanager
def jobs_inside() -> Iterator[None]:
    """A command computes its jobs itself, one after another, as where torchrun has started it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "started", lambda: 2)
        yield


class Forked:
    """A command in a fork of this process, which has imported everything; its jobs are processes as
    always, unless ``around`` says otherwise. What it says is in a file."""

    def __init__(
        self,
        arguments: Sequence[str | Path],
        said: Path,
        around: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.said = said
        said.touch()
        self.pid = os.fork()
        if self.pid > 0:
            return
        status: object = 70
        try:
            with (
                said.open("w", buffering=1) as sys.stderr,
                open(os.devnull, "w") as sys.stdout,
                around(),
            ):
                main([*map(str, arguments)])
        except SystemExit as end:
            status = end.code
        except BaseException:
            said.write_text(traceback.format_exc())
        finally:
            os._exit(status if isinstance(status, int) else 70)

    def ended(self, expected: int = 0) -> str:
        """What it said, when it has ended with that status."""
        _, status = os.waitpid(self.pid, 0)
        text = self.said.read_text()
        assert os.waitstatus_to_exitcode(status) == expected, text
        return text
