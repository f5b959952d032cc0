"""Groups of names: name → plugin, over entry points of packages and what a script adds."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

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
from genbench.registry.code import Code, code_of, require_same
from genbench.registry.options import call, check_options
from genbench.registry.sources import first_line, source_file
from genbench.registry.surroundings import kept_torch
from genbench.store import fingerprint

loading: list[Path] = []
"""The plugin files that are being run."""


class Registry:
    """The names of one group of plugins, ``genbench.models`` say."""

    def __init__(self, kind: str, plural: str | None = None) -> None:
        self.kind = kind
        self.group = f"genbench.{plural or f'{kind}s'}"
        self.added: dict[str, Any] = {}
        """What this process has registered, by name."""
        self._added_by: dict[str, str] = {}
        self._pickled: dict[str, PickledFactory] = {}
        self._code: dict[str, Code] = {}
        self._loaded: set[str] = set()
        self._files: dict[str, Path] = {}
        """The plugin files that have added names."""

    def add(self, name: str, value: Any) -> None:
        """Register ``value`` under ``name`` for this process. Raises ``UsageError`` if taken."""
        if name in self.names():
            raise UsageError(f"{self.kind} {name!r} is already registered by {self.origin(name)}")
        self.added[name] = value
        self._added_by[name] = sys._getframe(1).f_globals.get("__name__", "")
        if loading:
            self._files[name] = loading[-1]
        else:
            self._files.pop(name, None)

    def name_of(self, factory: Callable[..., Any]) -> str:
        """The name by which a factory that nobody registered is found from now on, here and, with
        ``travelling``, in other processes. Another function of a name that is taken, such as the
        second of a loop or that of a cell run again, gets its hash behind the name.

        Raises ``UsageError`` for what is neither a function nor a class, or whose source cannot
        be read.
        """
        name = callables.name_of(factory)
        if callables.is_importable(factory):
            return name
        made = callables.pickled(factory)
        if name in self._pickled and self._pickled[name].code != made.code:
            name = f"{name}@{made.code[:8]}"
            made = replace(made, name=name)
        self._pickled[name] = made
        self.added[name] = factory
        return name

    def is_of_script(self, name: str) -> bool:
        """Whether this process alone knows ``name``: neither a package nor a plugin file has it."""
        return name in self.added and name not in self._files

    def travelling(self, names: Iterable[str]) -> list[PickledFactory]:
        """Those of ``names`` that another process cannot find by itself. Raises ``UsageError``
        for what cannot travel."""
        return [
            self._pickled[name]
            if name in self._pickled
            else callables.sent(self.added[name], name, self.code(name).identity, self.kind)
            for name in dict.fromkeys(names)
            if self.is_of_script(name)
        ]

    def files(self) -> dict[str, Path]:
        """By name: the plugin file that has added it."""
        return {name: file for name, file in self._files.items() if name in self.added}

    def receive(self, factory: PickledFactory) -> None:
        """Add what another process sent."""
        self._pickled[factory.name] = factory
        self.added[factory.name] = callables.unpickled(factory)

    def names(self) -> list[str]:
        """Every registered name, sorted; nothing is loaded."""
        anonymous = {name for name in self._pickled if ":" in name}
        return sorted({*self.installed, *self.added} - anonymous)

    def get(self, name: str) -> Any:
        """The object registered under ``name``.

        Raises ``UnknownName``; ``UsageError`` when two packages claim the name; ``PluginError``
        when its module cannot be imported; ``CodeChanged`` when its source is no longer what its
        identity names.
        """
        if name not in self._loaded:
            value = self._load(name)
            self._loaded.add(name)
            self._require_same(name)
            return value
        return self._load(name)

    def _load(self, name: str) -> Any:
        if name in self.added:
            return self.added[name]
        if self._is_path(name):
            return callables.imported(name)
        point = self.point(name)
        try:
            with kept_torch():
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
        failed = f"{self.kind} {name!r} of {self.origin(name)} failed"
        with wrap_plugin_errors(failed), kept_torch():
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
        if name in self.added:
            module = sys.modules.get(self._home(name))
            return getattr(module, "__file__", None) or "a script"
        return " and ".join(map(_owner, self._claims(name)))

    def code(self, name: str) -> Code:
        """The code that decides what the plugin computes, as it was when this process, or the one
        that sent it a job, first asked; it need not be importable. An installed plugin without
        source is named by its package's version.

        Raises ``UsageError`` if an added one has no source, as at an interactive prompt."""
        if name not in self._code:
            self._code[name] = self._read(name)
        return self._code[name]

    def held(self) -> dict[str, Code]:
        """The code of every plugin that was asked for."""
        return dict(self._code)

    def hold(self, name: str, code: Code) -> None:
        """Take over what another process has read of a plugin's code, before it is loaded here."""
        self._code[name] = code

    def _require_same(self, name: str) -> None:
        """What was just loaded is what its identity names, or is read now to give it one."""
        if name in self._code:
            require_same(self._code[name].files)
        elif not self.is_ours(name):
            with suppress(UsageError):  # it has no source, which matters when it is asked for
                self.code(name)

    def _read(self, name: str) -> Code:
        what = f"{self.kind} {name!r}"
        if name in self._pickled:
            return Code(self._pickled[name].code, {})
        if self._is_path(name):
            return code_of(what, name.partition(":")[0])
        if name in self.added:
            return code_of(what, self._home(name), self._added_by.get(name, ""))
        claims = self._claims(name)
        modules = [_target(point)[0] for point in claims]
        found = [
            Code(_owner(point), {}) if source_file(module) is None else code_of(what, module)
            for point, module in zip(claims, modules, strict=True)
        ]
        if len(found) == 1:
            return found[0]
        return Code(fingerprint([code.identity for code in found]), {})

    def is_ours(self, name: str) -> bool:
        """Whether a name is one of genbench's own, not a plugin's."""
        if name in self.added or self._is_path(name):
            return False
        return all(_target(point)[0].startswith("genbench.") for point in self._claims(name))

    def summary(self, name: str) -> str:
        """The first line of the docstring, read from the source without importing it; or the reason
        why it cannot be read."""
        if name in self.added:
            value = self.added[name]
            described = value if callable(value) else sys.modules.get(self._home(name))
            return (inspect.getdoc(described) or "").partition("\n")[0]
        point, *others = self._claims(name)
        if others:
            return f"claimed by {self.origin(name)}"
        return first_line(*_target(point))

    def _home(self, name: str) -> str:
        """The module in which an added factory is defined; the one that added it for any other
        value, such as a ``Variant``, whose class is all that it could name."""
        value = self.added[name]
        while isinstance(value, partial):
            value = value.func
        defined = str(getattr(value, "__module__", ""))
        return defined if callable(value) else self._added_by.get(name, defined)

    def _is_path(self, name: str) -> bool:
        """Whether a name is that of a factory to be imported, ``package.module:factory``."""
        return ":" in name and name not in self.added

    def _claims(self, name: str) -> list[EntryPoint]:
        """The entry points of that name; there should be one. Raises ``UnknownName``."""
        points = self.installed.get(name)
        if points is None:
            raise UnknownName(self.kind, name, self.names())
        return points

    @cached_property
    def installed(self) -> dict[str, list[EntryPoint]]:
        """The entry points of the installed packages by name, of which each should have one."""
        found: dict[str, list[EntryPoint]] = {}
        # The order of the packages is that of the file system, which is arbitrary.
        for point in sorted(entry_points(group=self.group), key=_owner):
            found.setdefault(point.name, []).append(point)
        return found


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


def _owner(point: EntryPoint) -> str:
    dist = point.dist
    return f"{dist.name} {dist.version}" if dist else point.value


def _target(point: EntryPoint) -> tuple[str, str]:
    """Module and attribute. ``EntryPoint``'s own properties fail if the value is malformed."""
    module, _, attr = point.value.partition("[")[0].partition(":")
    return module.strip(), attr.strip()
