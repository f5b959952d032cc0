"""What a plugin does wrong, told in one line that names it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from genbench.api.errors import GenbenchError, one_line


class PluginError(GenbenchError):
    """A plugin that cannot be imported, or that failed where a user can do nothing about it."""


@contextmanager
def wrap_plugin_errors(what: str) -> Iterator[None]:
    """Whatever a plugin's code raises within becomes a ``PluginError`` that begins with ``what``,
    an exit from the interpreter included; a ``GenbenchError`` is raised on purpose, and stays."""
    try:
        yield
    except (GenbenchError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise PluginError(f"{what}: {one_line(error)}") from error
