"""Name → factory, over entry points of installed packages and names that a script adds.

A factory's signature is its schema: its keyword-only parameters are the options that a suite or a
command line may set, and a wrong one is told in one line. Listing names loads no plugin.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from genbench.errors import GenbenchError, UnknownName, UsageError, did_you_mean
from genbench.storage import fingerprint


class PluginError(GenbenchError):
    """A plugin that cannot be imported."""


class Registry:
    """The names of one group of plugins, ``genbench.models`` say."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.group = f"genbench.{kind}s"
        self._added: dict[str, Any] = {}
        self._points: dict[str, list[EntryPoint]] | None = None

    def add(self, name: str, value: Any) -> None:
        """Register ``value`` under ``name`` for this process. Raises ``UsageError`` when taken."""
        if name in self.names():
            raise UsageError(f"{self.kind} {name!r} is already registered")
        self._added[name] = value

    def names(self) -> list[str]:
        """Every registered name, sorted; nothing is loaded."""
        return sorted({*self._installed(), *self._added})

    def get(self, name: str) -> Any:
        """What is registered under ``name``.

        Raises ``UnknownName``; ``UsageError`` when two packages claim the name; ``PluginError``
        when its module cannot be imported.
        """
        if name in self._added:
            return self._added[name]
        point = self.point(name)
        try:
            return point.load()
        except Exception as error:
            raise PluginError(
                f"{self.kind} {name!r} ({point.value}) cannot be loaded: "
                f"{type(error).__name__}: {error}; genbench doctor looks for the cause"
            ) from error

    def point(self, name: str) -> EntryPoint:
        """The entry point behind an installed name. Raises as ``get`` does."""
        points = self._installed().get(name)
        if points is None:
            raise UnknownName(self.kind, name, self.names())
        if len(points) > 1:
            owners = " and ".join(_owner(point) for point in points)
            raise UsageError(f"{self.kind} {name!r} is claimed by {owners}; uninstall one of them")
        return points[0]

    def origin(self, name: str) -> str:
        """Where a name comes from: a package and its version, or the script that added it."""
        if name in self._added:
            return str(getattr(self._added[name], "__module__", "script"))
        return _owner(self.point(name))

    def code(self, name: str) -> str:
        """``source_hash`` of the plugin. Raises ``UsageError`` where there is no source to hash, as
        at an interactive prompt."""
        if name in self._added:
            module = getattr(self._added[name], "__module__", "")
        else:
            module = self.point(name).module
        return source_hash(module, f"{self.kind} {name!r}")

    def is_ours(self, name: str) -> bool:
        """Whether a name is one of genbench's own, not a plugin's."""
        return name not in self._added and self.point(name).module.startswith("genbench.")

    def summary(self, name: str) -> str:
        """The first line of the docstring, read from the source without importing it."""
        if name in self._added:
            return (inspect.getdoc(self._added[name]) or "").partition("\n")[0]
        point = self.point(name)
        spec = importlib.util.find_spec(point.module)
        if spec is None or spec.origin is None or not Path(spec.origin).is_file():
            return ""
        return _first_line(Path(spec.origin).read_text(encoding="utf-8"), point.attr)

    def _installed(self) -> dict[str, list[EntryPoint]]:
        if self._points is None:
            self._points = {}
            for point in entry_points(group=self.group):
                claims = self._points.setdefault(point.name, [])
                if point not in claims:
                    claims.append(point)
        return self._points


models = Registry("model")
datasets = Registry("dataset")
extractors = Registry("extractor")
metrics = Registry("metric")
suites = Registry("suite")


def source_hash(module: str, what: str) -> str:
    """A hash of every Python file of a module's top-level package; of the module's own file, or
    package, where there is none (a script, or a namespace that others share).

    Raises ``UsageError``, naming ``what``, where neither has a source file."""
    origin = _origin(module.partition(".")[0]) or _origin(module)
    if origin is None:
        raise UsageError(f"{what} has no source file: put it in one")
    path = Path(origin)
    sources = sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]
    return fingerprint(
        [[str(p.relative_to(path.parent)), p.read_text(encoding="utf-8")] for p in sources]
    )


def _origin(module: str) -> str | None:
    """The file of a module, loaded or not."""
    loaded = sys.modules.get(module)
    if loaded is not None:
        return getattr(loaded, "__file__", None)
    spec = importlib.util.find_spec(module) if module else None
    return spec.origin if spec else None


def add_plugin_file(path: Path) -> None:
    """Run a script that adds names (``--plugin FILE``), once a process.

    Raises ``UsageError`` naming the file.
    """
    name = f"genbench_plugin_{path.stem}"
    if name in sys.modules and sys.modules[name].__file__ == str(path.resolve()):
        return
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None or not path.is_file():
        raise UsageError(f"--plugin {path}: no such Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UsageError(f"--plugin {path}: {type(error).__name__}: {error}") from error


def schema(factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The options of a factory or of ``sample``: its keyword-only parameters, types resolved."""
    parameters = inspect.signature(factory, eval_str=True).parameters.values()
    return {p.name: p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


def check_options(
    what: str, factory: Callable[..., Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Every option of ``factory``: those given, with their types checked, and the defaults.

    ``what`` names the owner in messages (``model 'ddpm'``). Raises ``UsageError`` for an unknown
    option (with the nearest one), a wrong type or value, or a missing one.
    """
    import pydantic

    known = schema(factory)
    for name in options:
        if name not in known:
            raise UsageError(f"{what} has no option {name!r}{did_you_mean(name, known)}")
    resolved: dict[str, Any] = {}
    for name, parameter in known.items():
        if name not in options:
            if parameter.default is inspect.Parameter.empty:
                raise UsageError(f"{what} needs the option {name!r}")
            resolved[name] = parameter.default
            continue
        annotation = Any if parameter.annotation is parameter.empty else parameter.annotation
        adapter: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(annotation)
        try:
            # JSON mode: a TOML array may stand for a tuple, everything else is strict.
            resolved[name] = adapter.validate_json(_json(options[name]), strict=True)
        except pydantic.ValidationError as error:
            message = error.errors()[0]["msg"]
            raise UsageError(
                f"{what}, option {name!r}: {message[0].lower()}{message[1:]}, got {options[name]!r}"
            ) from None
    return resolved


def _json(value: Any) -> str:
    import json

    # A TOML date has no JSON: as text it meets the same refusal as any other wrong type.
    return json.dumps(value, default=str)


def _owner(point: EntryPoint) -> str:
    dist = point.dist
    return f"{dist.name} {dist.version}" if dist else point.value


def _first_line(source: str, attr: str) -> str:
    """Of the docstring of ``attr``; of the module's where ``attr`` has none, as a ``Variant``."""
    import ast

    module = ast.parse(source)
    described = (ast.FunctionDef, ast.ClassDef)
    nodes = [n for n in module.body if isinstance(n, described) and n.name == attr]
    docstring = ast.get_docstring(nodes[0] if nodes else module) or ""
    return re.sub(r"\s+", " ", docstring.partition("\n\n")[0])
