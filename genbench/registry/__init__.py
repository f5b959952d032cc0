"""Name → factory, over entry points of installed packages and names that a script adds.

A factory's signature is its schema: its keyword-only parameters are the options that a suite or a
command line may set. A wrong option is an error of one line. Listing names loads no plugin.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeAlias

from genbench.api import samplers as sampler_plugins
from genbench.api.errors import (
    PluginError,
    UnknownName,
    UsageError,
    one_line,
    wrap_plugin_errors,
)
from genbench.registry import callables
from genbench.registry.callables import PickledFactory
from genbench.registry.options import call, check_options, require_plain, schema
from genbench.registry.sources import first_line, hash_source, source_file, source_hash
from genbench.store import fingerprint

__all__ = [
    "GROUPS",
    "PickledFactory",
    "Plugin",
    "PluginError",
    "Registry",
    "add_plugin_file",
    "augmentations",
    "call",
    "check_options",
    "claims",
    "datasets",
    "executors",
    "extractors",
    "kept_surroundings",
    "leaderboards",
    "load_plugin",
    "metrics",
    "modalities",
    "models",
    "require_plain",
    "samplers",
    "schema",
    "source_hash",
    "suites",
    "wrap_plugin_errors",
]

Plugin: TypeAlias = Path | PickledFactory
"""What a job sends to its process: a file to run, or a pickled model."""


class Registry:
    """The names of one group of plugins, ``genbench.models`` say."""

    def __init__(self, kind: str, plural: str | None = None) -> None:
        self.kind = kind
        self.group = f"genbench.{plural or f'{kind}s'}"
        self._added: dict[str, Any] = {}
        self._pickled: dict[str, PickledFactory] = {}
        self._points: dict[str, list[EntryPoint]] | None = None

    def add(self, name: str, value: Any) -> None:
        """Register ``value`` under ``name`` for this process. Raises ``UsageError`` if taken."""
        if name in self.names():
            raise UsageError(f"{self.kind} {name!r} is already registered by {self.origin(name)}")
        self._added[name] = value

    def name_of(self, factory: Callable[..., Any]) -> str:
        """The name by which a factory that nobody registered is found from now on, here and, with
        ``travelling``, in other processes.

        Raises ``UsageError`` for what is neither a function nor a class, or whose source cannot
        be read.
        """
        name = callables.name_of(factory)
        if not callables.is_importable(factory):
            self._pickled[name] = callables.pickled(factory)
            self._added[name] = factory
        return name

    def travelling(self, names: Iterable[str]) -> list[PickledFactory]:
        """Those of ``names`` that another process cannot find by itself."""
        return [self._pickled[name] for name in dict.fromkeys(names) if name in self._pickled]

    def receive(self, factory: PickledFactory) -> None:
        """Add what another process sent."""
        self._pickled[factory.name] = factory
        self._added[factory.name] = callables.unpickled(factory)

    def names(self) -> list[str]:
        """Every registered name, sorted; nothing is loaded."""
        return sorted({*self._installed(), *self._added} - self._pickled.keys())

    def get(self, name: str) -> Any:
        """The object registered under ``name``.

        Raises ``UnknownName``; ``UsageError`` when two packages claim the name; ``PluginError``
        when its module cannot be imported.
        """
        if name in self._added:
            return self._added[name]
        if self._is_path(name):
            return callables.imported(name)
        point = self.point(name)
        try:
            return point.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a script that was never meant to be imported may exit
            raise PluginError(
                f"{self.kind} {name!r} of {_owner(point)} cannot be loaded: {one_line(error)}; "
                "genbench doctor looks for the cause"
            ) from error

    def make(self, name: str, *arguments: Any, **options: Any) -> Any:
        """The object that the factory of that name returns. Raises as ``get`` does, any
        ``GenbenchError`` of the factory, and ``PluginError`` for its other exceptions."""
        factory = self.get(name)
        with wrap_plugin_errors(f"{self.kind} {name!r} of {self.origin(name)} failed"):
            return call(factory, *arguments, **options)

    def options(self, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Every option of the factory of that name. Raises as ``get`` and ``check_options``."""
        return check_options(f"{self.kind} {name!r}", self.get(name), given)

    def point(self, name: str) -> EntryPoint:
        """The entry point behind an installed name. Raises as ``get`` does."""
        first, *others = self._claims(name)
        if others:
            said = f"{self.kind} {name!r} is claimed by {self.origin(name)}"
            raise UsageError(f"{said}; uninstall one of them")
        return first

    def origin(self, name: str) -> str:
        """Where a name comes from: a package and its version (both packages, if two claim the
        name), or the script that added it."""
        if self._is_path(name):
            return name.partition(":")[0]
        if name in self._added:
            module = sys.modules.get(_home(self._added[name]))
            return getattr(module, "__file__", None) or "a script"
        return " and ".join(map(_owner, self._claims(name)))

    def code(self, name: str) -> str:
        """A hash of the plugin's source, which need not be importable; of its package's version,
        if an installed plugin has no source. Raises ``UsageError`` if an added one has none, as at
        an interactive prompt."""
        if name in self._pickled:
            return self._pickled[name].code
        if self._is_path(name):
            return source_hash(name.partition(":")[0], f"{self.kind} {name!r}")
        if name in self._added:
            return source_hash(_home(self._added[name]), f"{self.kind} {name!r}")
        claims = self._claims(name)
        files = [source_file(_target(point)[0]) for point in claims]
        return fingerprint(
            [
                _owner(point) if file is None else hash_source(file)
                for point, file in zip(claims, files, strict=True)
            ]
        )

    def is_ours(self, name: str) -> bool:
        """Whether a name is one of genbench's own, not a plugin's."""
        if name in self._added or self._is_path(name):
            return False
        return all(_target(point)[0].startswith("genbench.") for point in self._claims(name))

    def summary(self, name: str) -> str:
        """The first line of the docstring, read from the source without importing it; or the reason
        why it cannot be read."""
        if name in self._added:
            return (inspect.getdoc(self._added[name]) or "").partition("\n")[0]
        point, *others = self._claims(name)
        if others:
            return f"claimed by {self.origin(name)}"
        return first_line(*_target(point))

    def _is_path(self, name: str) -> bool:
        """Whether a name is that of a factory to be imported, ``package.module:factory``."""
        return ":" in name and name not in self._added

    def _claims(self, name: str) -> list[EntryPoint]:
        """The entry points of that name; there should be one. Raises ``UnknownName``."""
        points = self._installed().get(name)
        if points is None:
            raise UnknownName(self.kind, name, self.names())
        return points

    def _installed(self) -> dict[str, list[EntryPoint]]:
        if self._points is None:
            self._points = {}
            # The order of the packages is that of the file system, which is arbitrary.
            for point in sorted(entry_points(group=self.group), key=_owner):
                self._points.setdefault(point.name, []).append(point)
        return self._points


models = Registry("model")
datasets = Registry("dataset")
extractors = Registry("extractor")
metrics = Registry("metric")
modalities = Registry("modality", "modalities")
augmentations = Registry("augmentation")
samplers = Registry("sampler")
suites = Registry("suite")
claims = Registry("claim")
leaderboards = Registry("leaderboard")
executors = Registry("executor")
GROUPS = (
    models,
    datasets,
    modalities,
    extractors,
    metrics,
    augmentations,
    samplers,
    suites,
    claims,
    leaderboards,
    executors,
)


sampler_plugins.registered = samplers


def add_plugin_file(path: Path) -> None:
    """Run a script that adds names (``--plugin FILE``), once a process.

    Raises ``UsageError`` naming the file; nothing is then added.
    """
    place = path.resolve()
    name = f"genbench_plugin_{path.stem}_{fingerprint(str(place))[:8]}"
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, place)
    if spec is None or spec.loader is None or not path.is_file():
        raise UsageError(f"--plugin {path}: no such Python file")
    module = importlib.util.module_from_spec(spec)
    before = [dict(group._added) for group in GROUPS]
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        for group, added in zip(GROUPS, before, strict=True):
            group._added.clear()
            group._added.update(added)
        if isinstance(error, KeyboardInterrupt):
            raise
        raise UsageError(f"--plugin {path}: {one_line(error)}") from error


def load_plugin(plugin: Plugin) -> None:
    """Add what a job has sent: the names of a file, or a pickled model."""
    if isinstance(plugin, PickledFactory):
        models.receive(plugin)
    else:
        add_plugin_file(plugin)


@contextmanager
def kept_surroundings() -> Iterator[None]:
    """Around plugins' code in a process that starts jobs: they take over its working folder and
    environment, which are put back here, with the filters of warnings."""
    folder, environment = os.getcwd(), dict(os.environ)
    try:
        with warnings.catch_warnings():
            yield
    finally:
        os.chdir(folder)
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)


def _owner(point: EntryPoint) -> str:
    dist = point.dist
    return f"{dist.name} {dist.version}" if dist else point.value


def _target(point: EntryPoint) -> tuple[str, str]:
    """Module and attribute. ``EntryPoint``'s own properties fail if the value is malformed."""
    module, _, attr = point.value.partition("[")[0].partition(":")
    return module.strip(), attr.strip()


def _home(value: Any) -> str:
    """The module in which a factory is defined."""
    while isinstance(value, partial):
        value = value.func
    return str(getattr(value, "__module__", ""))
