"""The errors, as types. Each message is one line that a user can act on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class GenbenchError(Exception):
    """An error with a message of one line. ``exit_code`` is the exit status of the command line."""

    exit_code = 1


class UsageError(GenbenchError):
    """The user's mistake: an unknown name, a wrong option, a file that cannot be read."""

    exit_code = 2


class UnknownName(UsageError):
    """A name that is not registered, with the nearest one that is, or the one that ``meant`` gives
    for it."""

    def __init__(
        self, kind: str, name: str, known: Iterable[str], meant: str | None = None
    ) -> None:
        near = did_you_mean(name, known) if meant is None else f"; did you mean {meant!r}?"
        super().__init__(f"unknown {kind} {name!r}{near}")

    def __reduce__(self) -> tuple[type[UsageError], tuple[str]]:
        return UsageError, (str(self),)  # to another process, as the message that it is


class DataError(UsageError):
    """A data set or a sample file that cannot be used: names the file and the cause."""


class NonFiniteSamples(GenbenchError):
    """A sampler returned NaN or infinity: the run counts as diverged."""


class PluginError(GenbenchError):
    """A plugin that cannot be imported, or that failed for a reason that its user cannot change."""


REASON_LENGTH = 2000
"""Characters of a reason that are kept."""


def one_line(error: BaseException) -> str:
    """The reason for a row: our own errors as they are, a plugin's with their type. Printable text
    of at most ``REASON_LENGTH`` characters, whatever the error is: it raises nothing."""
    kind = "" if issubclass(type(error), GenbenchError) else f"{_name(type(error))}: "
    try:
        text = "".join(str(error))  # a plugin's own __str__, and its own class of strings
    except BaseException:
        text = "its message cannot be read"
    words = " ".join((kind + text[: 2 * REASON_LENGTH]).split())
    words = "".join(character if character.isprintable() else "?" for character in words)
    return words if len(words) <= REASON_LENGTH else f"{words[: REASON_LENGTH - 1]}…"


def _name(kind: type) -> str:
    """That of the class, whatever its own class makes of the attribute."""
    return str(type.__dict__["__name__"].__get__(kind))


@contextmanager
def wrap_plugin_errors(what: str) -> Iterator[None]:
    """Whatever the code inside raises, ``SystemExit`` too, becomes a ``PluginError`` that begins
    with ``what``. A ``GenbenchError`` is raised on purpose, and stays as it is."""
    try:
        yield
    except (GenbenchError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise PluginError(f"{what}: {one_line(error)}") from error


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'ddpm'?"``, or all known names if none is similar."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    if known:
        return f"; known: {', '.join(known)}"
    return "; none is known"
