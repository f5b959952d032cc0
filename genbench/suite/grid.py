"""A suite and a grid of settings → a suite with every entry at every point of the grid."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genbench import registry
from genbench.api.errors import UsageError, did_you_mean
from genbench.registry import PluginError
from genbench.suite.entries import trained
from genbench.suite.file import Entry, Suite, parse, parse_value
from genbench.suite.train import OVERRIDES

_COMMA = re.compile(r",(?![^\[]*\])")
"""A comma that is not between brackets, so that a value may be an array."""


@dataclass(frozen=True)
class GridPoint:
    """One entry at one point of a grid."""

    entry: str
    """The name of the entry in the suite that was expanded."""
    settings: Mapping[str, Any]

    @property
    def setting(self) -> str:
        """``learning_rate 0.001 · batch 32``."""
        return " · ".join(f"{key} {_said(value)}" for key, value in self.settings.items())


@dataclass(frozen=True)
class Grid:
    """A suite whose entries are the points of a grid."""

    suite: Suite
    points: Mapping[str, GridPoint]
    """By the name of the entry that is one: ``DDPM · learning_rate 0.001 · batch 32``."""
    left_out: Mapping[str, str]
    """Entries that do not have one of the settings, and the reason."""


def parse_over(over: Sequence[str]) -> dict[str, list[Any]]:
    """``KEY=VALUE,VALUE,KEY=VALUE,…`` → the values of each key: a part with ``=`` begins a key, one
    without is a further value of the key before it. Several such texts are read as one.

    A value is TOML, or else plain text. Raises ``UsageError``, for a value given twice too.
    """
    settings: dict[str, list[Any]] = {}
    for text in over:
        key = ""
        for part in _COMMA.split(text):
            head, separator, tail = part.partition("=")
            if separator:
                key, part = head.strip(), tail
            if not key:
                raise UsageError(f"--over {text}: write KEY=VALUE,VALUE, as in --over batch=32,64")
            value, values = parse_value(part.strip()), settings.setdefault(key, [])
            if value in values or _said(value) in map(_said, values):
                raise UsageError(f"--over {text}: {key} {_said(value)} is given twice")
            values.append(value)
    return settings


def expand_grid(suite: Suite, settings: Mapping[str, Sequence[Any]]) -> Grid:
    """Every entry of ``suite`` at every combination of ``settings`` (at least one key).

    A key is one that an entry may override of ``[train]``, or the budget ``examples``, or else an
    option of the entry's model. An entry whose model has no such option is left out; one whose
    model's plugin is at fault is not, since its runs fail, which is a result. Options are checked
    against the models by ``trainings``. Raises ``UsageError`` for a key that no entry has.
    """
    offered = {name: _keys(section) for name, section in suite.entries.items()}
    known = {key for keys in offered.values() if keys is not None for key in keys}
    points: dict[str, GridPoint] = {}
    left_out: dict[str, str] = {}
    for name, keys in offered.items():
        missing = [key for key in settings if keys is not None and key not in keys]
        if missing:
            model = suite.entries[name].model
            left_out[name] = f"model {model!r} has no option {' and no option '.join(missing)}"
            continue
        for values in itertools.product(*settings.values()):
            point = GridPoint(name, dict(zip(settings, values, strict=True)))
            points[f"{name} · {point.setting}"] = point
    if not points:
        for key in settings:
            if key not in known:
                raise UsageError(
                    f"--over: no entry has a setting {key!r}{did_you_mean(key, known)}"
                )
        raise UsageError(f"--over: no entry has all of {', '.join(settings)}")
    content = suite.model_dump(mode="json")
    content["entries"] = {
        name: _entry(content["entries"][point.entry], point) for name, point in points.items()
    }
    return Grid(parse("--over", content), points, left_out)


def _keys(section: Entry) -> set[str] | None:
    """The settings of an entry; ``None`` if its plugin is at fault."""
    try:
        _, factory, _ = trained(section.model)
        return {*OVERRIDES, *registry.schema(factory)}
    except PluginError:
        return None


def _entry(section: Mapping[str, Any], point: GridPoint) -> dict[str, Any]:
    train, options = dict(section["train"]), dict(section["options"])
    for key, value in point.settings.items():
        (train if key in OVERRIDES else options)[key] = value
    return {**section, "train": train, "options": options}


def _said(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
