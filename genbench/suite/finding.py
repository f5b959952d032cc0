"""Suites by name, among those that packages offer, or by file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from genbench import registry
from genbench.errors import DataError, GenbenchError, UnknownName, UsageError, one_line
from genbench.registry import blaming
from genbench.suite.file import SuiteFile, parse


def load(name: str, overrides: Sequence[str] = ()) -> SuiteFile:
    """The suite of that name, or in that TOML file, with ``KEY=VALUE`` overrides.

    A key is a dotted path (``train.batch``, ``entries.GAN.options.channels``), a value TOML or else
    plain text. Raises ``UsageError``.
    """
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        source = name
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"cannot read the suite {name}: {error}") from error
    else:
        source = f"suite {name!r}"
        text = _built_in(name)
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{source} is not TOML: {error}") from error
    for override in overrides:
        _override(content, override)
    return parse(source, content)


def names() -> dict[str, str]:
    """Every suite that a package offers → its title, or what is wrong with it."""
    titles = {}
    for name, claims in _offered()[0].items():
        try:
            titles[name] = str(tomllib.loads(_only(name, claims)).get("title", ""))
        except (GenbenchError, tomllib.TOMLDecodeError) as error:
            titles[name] = one_line(error)
    return titles


def _built_in(name: str) -> str:
    offered, faults = _offered()
    if name in offered:
        return _only(name, offered[name])
    unknown = UnknownName("suite", name, offered)
    if faults:
        raise UsageError("; ".join(map(str, [unknown, *faults])))
    raise unknown


def _offered() -> tuple[dict[str, dict[str, Traversable]], list[GenbenchError]]:
    """Suite name → the packages that offer one → its file; and why others offer none."""
    offered: dict[str, dict[str, Traversable]] = {}
    faults = []
    for package in registry.suites.names():
        origin = registry.suites.origin(package)
        try:
            with blaming(f"suites {package!r} of {origin} cannot be read"):
                found = list(files(registry.suites.get(package)).iterdir())
        except GenbenchError as error:
            faults.append(error)
            continue
        for file in found:
            if file.name.endswith(".toml"):
                offered.setdefault(file.name.removesuffix(".toml"), {})[origin] = file
    return dict(sorted(offered.items())), faults


def _only(name: str, claims: Mapping[str, Traversable]) -> str:
    """The text of a suite that one package offers. Raises ``UsageError`` where several do,
    ``PluginError`` where it cannot be read."""
    if len(claims) > 1:
        said = f"suite {name!r} is claimed by {' and '.join(claims)}"
        raise UsageError(f"{said}; uninstall one of them")
    ((origin, file),) = claims.items()
    with blaming(f"suite {name!r} of {origin} cannot be read"):
        return file.read_text(encoding="utf-8")


def _override(content: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise UsageError(f"--set {override}: write KEY=VALUE, as in --set images=20000")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *path, last = key.split(".")
    section: Any = content
    for part in path:
        section = section.setdefault(part, {})
        if not isinstance(section, dict):
            raise UsageError(f"--set {override}: {part!r} is not a section")
    section[last] = value
