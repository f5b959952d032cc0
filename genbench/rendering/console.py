"""The consoles that genbench prints to."""

from __future__ import annotations

from rich.console import Console


class PipedConsole(Console):
    """Where nobody reads any more, ``BrokenPipeError`` is raised, as ``print`` does; rich would end
    the process with the status of a failure."""

    def on_broken_pipe(self) -> None:
        raise
