"""Suites by name, among those that packages offer, or by file."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any

from genbench import registry
from genbench.api.errors import UsageError
from genbench.registry.texts import read_toml, titles
from genbench.suite.file import Suite, parse


def load(name: str, overrides: Sequence[str] = ()) -> Suite:
    """The suite of that name, or in that TOML file, with ``KEY=VALUE`` overrides.

    A key is a dotted path (``train.batch``, ``entries.GAN.options.channels``), a value TOML or else
    plain text. Raises ``UsageError``.
    """
    source, content = read_toml(registry.suites, name)
    for override in overrides:
        _override(content, override)
    return parse(source, content)


def parse_value(text: str) -> Any:
    """A value on the command line: TOML, or else plain text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def names() -> dict[str, str]:
    """Every suite that a package offers → its title, or what is wrong with it."""
    return titles(registry.suites)


def _override(content: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise UsageError(f"--set {override}: write KEY=VALUE, as in --set examples=20000")
    *path, last = key.split(".")
    section: Any = content
    for part in path:
        section = section.setdefault(part, {})
        if not isinstance(section, dict):
            raise UsageError(f"--set {override}: {part!r} is not a section")
    section[last] = parse_value(text)
