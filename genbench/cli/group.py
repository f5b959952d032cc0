"""The group of commands: every mistake in one line, with its exit status."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TextIO

import click

from genbench.api.errors import GenbenchError, UsageError, did_you_mean
from genbench.store import Damaged

BROKEN_PIPE = 141
"""Exit status where nobody reads the output any more, as a shell has it: 128 + SIGPIPE."""


class Group(click.Group):
    """Reports every mistake in one line, with its exit status and no traceback."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        def run() -> Any:
            return super(Group, self).main(args, prog_name, complete_var, False, **extra)

        if not standalone_mode:
            return run()
        _prepare_streams()
        sys.exit(_flushed(_status(run)))

    def make_context(self, *arguments: Any, **extra: Any) -> click.Context:
        with _past_click():
            return super().make_context(*arguments, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _past_click():
            return super().invoke(ctx)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            near = did_you_mean(name, self.list_commands(ctx))
            raise UsageError(f"unknown command {name!r}{near}")
        return super().resolve_command(ctx, args)


def _status(run: Callable[[], Any]) -> int:
    """The exit status of a command, once its mistake was told."""
    try:
        status = run()
    except click.exceptions.NoArgsIsHelpError as error:
        with suppress(OSError):  # of which _flushed tells
            click.echo(error.format_message())
        return error.exit_code
    except Damaged as error:
        _tell(f"{error}; repeat the genbench run or train that wrote it, to repair it")
        return error.exit_code
    except GenbenchError as error:
        _tell(str(error))
        return error.exit_code
    except click.ClickException as error:
        _tell(error.format_message())
        return error.exit_code
    except (KeyboardInterrupt, click.Abort) as error:
        if isinstance(error.__cause__, EOFError):  # which click takes for an interrupt
            raise error.__cause__ from None
        _tell("interrupted; repeat the command to continue")
        return 130
    except OSError as error:
        if _unwritten(sys.stdout) is None:  # of which _flushed tells
            about = "" if error.filename is None else f"{error.filename}: "
            _tell(f"{about}{error.strerror or error}")
        return 1
    except MemoryError as error:
        _tell(f"out of memory: {error}".removesuffix(": "))
        return 1
    return status if isinstance(status, int) else 0


def _tell(said: str) -> None:
    from genbench.rendering.unseen import visible

    with suppress(OSError):  # standard error is full
        click.echo(f"genbench: {' '.join(visible(said).split())}", err=True)


def _prepare_streams() -> None:
    """What the encoding of standard output lacks is replaced: a finished command's numbers are not
    lost for an arrow. A stream that is closed is opened, so that no file takes its number."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - until the process ends
    if sys.stdout is None:  # writing to it fails, as it should
        closed = os.open(os.devnull, os.O_RDONLY)
        sys.stdout = open(closed, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stdout = _watched(sys.stdout, "replace")
    sys.stderr = _watched(sys.stderr, "backslashreplace")


class _Watched(io.FileIO):
    """A stream that remembers why it could not be written: a buffer forgets what it has lost."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream.fileno(), "w", closefd=False)
        self.error: OSError | None = None
        self.replaced = stream  # which would close the file when nobody holds it

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.error = error
            raise


def _watched(stream: TextIO, errors: str) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    raw = _raw(stream)
    if not isinstance(raw, io.FileIO) or isinstance(raw, _Watched):
        stream.reconfigure(errors=errors)
        return stream
    stream.flush()
    watched = _Watched(stream)
    return io.TextIOWrapper(
        # Python was told not to buffer where the stream holds the file itself.
        watched if raw is stream.buffer else io.BufferedWriter(watched),
        encoding=stream.encoding,
        errors=errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _raw(stream: TextIO) -> object:
    buffer = getattr(stream, "buffer", None)
    return getattr(buffer, "raw", buffer)


def _flushed(status: int) -> int:
    """The exit status, once all was written; that of a failure where it could not be."""
    for stream in (sys.stdout, sys.stderr):
        error = _unwritten(stream)
        if error is None:
            continue
        with suppress(OSError):  # Python flushes once more, and would complain
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if isinstance(error, BrokenPipeError):
            return BROKEN_PIPE
        if stream is sys.stdout:
            _tell(f"cannot write standard output: {error.strerror or error}")
            status = status or 1
    return status


def _unwritten(stream: TextIO) -> OSError | None:
    """Why not all could be written that the stream was given."""
    try:
        stream.flush()
    except OSError as error:
        return error
    raw = _raw(stream)
    return raw.error if isinstance(raw, _Watched) else None


@contextmanager
def _past_click() -> Iterator[None]:
    """click would end the process where nobody reads the output, with the status of a failure."""
    try:
        yield
    except BrokenPipeError as error:
        raise OSError(str(error)) from error
