"""TOML files that packages offer by name: suites, claims, leaderboards."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from genbench.api.errors import DataError, GenbenchError, UnknownName, UsageError, one_line
from genbench.registry import Registry, wrap_plugin_errors
from genbench.store import read_regular

LONGEST = 16 * 2**20
"""Bytes of a file of a suite, of claims or of a leaderboard."""


def read_toml(group: Registry, name: str) -> tuple[str, dict[str, Any]]:
    """The name of a file for messages, and its content. ``name``: a name that a package offers, or
    a path.

    ``group``: the packages that hold such files. Raises ``UsageError`` (``UnknownName``; a name
    that two packages claim; a file that is not TOML), ``DataError`` for a file that cannot be read,
    ``PluginError`` for a file of a package that cannot be read.
    """
    if name.endswith(".toml") or os.sep in name or os.path.isfile(name):
        source = name
        try:
            text = read_regular(Path(name), LONGEST).decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"cannot read the {group.kind} {name}: {reason}") from error
    else:
        source = f"{group.kind} {name!r}"
        text = _built_in(group, name)
    try:
        return source, tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # tomllib's own errors are ValueErrors
        raise UsageError(f"{source} is not TOML: {one_line(error)}") from error


def titles(group: Registry) -> dict[str, str]:
    """Every name that a package offers → the title in its file, or why the file has none."""
    found = {}
    for name, claims in _offered(group)[0].items():
        try:
            found[name] = str(tomllib.loads(_only(group, name, claims)).get("title", ""))
        except (GenbenchError, ValueError, RecursionError) as error:
            found[name] = one_line(error)
    return found


def _built_in(group: Registry, name: str) -> str:
    offered, faults = _offered(group)
    if name in offered:
        return _only(group, name, offered[name])
    unknown = UnknownName(group.kind, name, offered)
    if faults:
        raise UsageError("; ".join(map(str, [unknown, *faults])))
    raise unknown


def _offered(group: Registry) -> tuple[dict[str, dict[str, Traversable]], list[GenbenchError]]:
    """Name → the packages that offer it → its file; and the errors of unreadable packages."""
    offered: dict[str, dict[str, Traversable]] = {}
    faults = []
    for package in group.names():
        origin = group.origin(package)
        try:
            with wrap_plugin_errors(f"{group.kind}s {package!r} of {origin} cannot be read"):
                found = list(files(group.get(package)).iterdir())
        except GenbenchError as error:
            faults.append(error)
            continue
        for file in found:
            if file.name.endswith(".toml"):
                offered.setdefault(file.name.removesuffix(".toml"), {})[origin] = file
    return dict(sorted(offered.items())), faults


def _only(group: Registry, name: str, claims: Mapping[str, Traversable]) -> str:
    """The text of a file that one package offers. Raises ``UsageError`` if several do,
    ``PluginError`` if it cannot be read."""
    if len(claims) > 1:
        said = f"{group.kind} {name!r} is claimed by {' and '.join(claims)}"
        raise UsageError(f"{said}; uninstall one of them")
    ((origin, file),) = claims.items()
    with wrap_plugin_errors(f"{group.kind} {name!r} of {origin} cannot be read"):
        return file.read_text(encoding="utf-8-sig")
