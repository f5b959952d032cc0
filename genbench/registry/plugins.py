"""Plugin files, and what plugins are sent to the processes of jobs."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from genbench.api import Variant
from genbench.api.errors import GenbenchError, UsageError, one_line
from genbench.registry.callables import PickledFactory
from genbench.registry.code import Code, HeldCode, file_hash, own_code
from genbench.registry.groups import (
    GROUPS,
    augmentations,
    datasets,
    extractors,
    loading,
    metrics,
    modalities,
    models,
    samplers,
)
from genbench.registry.surroundings import kept_surroundings, kept_torch
from genbench.store import fingerprint

Plugin: TypeAlias = Path | PickledFactory
"""What a job sends to its process: a file to run, or a pickled model."""

IN_JOBS = (datasets, modalities, extractors, metrics, augmentations, samplers)
"""The registries that the processes of jobs look into, besides ``models``."""

_loaded: dict[Path, str] = {}
"""The plugin files that this process has run, and the hash of each when it did."""


def add_plugin_files(paths: Iterable[str | Path]) -> None:
    """``add_plugin_file`` for each, in a process that goes on afterwards: ``kept_surroundings``."""
    for path in paths:
        with kept_surroundings():
            add_plugin_file(Path(path))


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
    before = [dict(group.added) for group in GROUPS]
    sys.modules[name] = module
    _loaded[place] = file_hash(place)
    loading.append(place)
    try:
        with kept_torch():
            spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name], _loaded[place]
        for group, added in zip(GROUPS, before, strict=True):
            group.added.clear()
            group.added.update(added)
        if isinstance(error, KeyboardInterrupt):
            raise
        raise UsageError(f"--plugin {path}: {one_line(error)}") from error
    finally:
        loading.pop()


def travelling(files: Iterable[str | Path], models_used: Sequence[str]) -> list[Plugin]:
    """All that another process must load to find what this one has registered: ``files`` and the
    others that were loaded; and what a script has added, of models those that are used. Raises
    ``UsageError`` for what cannot travel."""
    brought = {path.resolve(): path for path in map(Path, files)}
    for group in (models, *IN_JOBS):
        for file in group.files().values():
            brought.setdefault(file, file)
    added = [sent for group in IN_JOBS for sent in group.travelling(sorted(group.added))]
    return [*brought.values(), *models.travelling(_with_trained(models_used)), *added]


def needed(plugins: Iterable[Plugin], models_used: Sequence[str]) -> list[Plugin]:
    """Those of ``plugins`` that a job with these models loads: none that has nothing but models of
    other jobs, whatever it would do to the process."""
    used = set(_with_trained(models_used))
    of_models = models.files()
    loaded = {file for group in IN_JOBS for file in group.files().values()}
    loaded |= {file for name, file in of_models.items() if name in used}
    idle = set(of_models.values()) - loaded
    return [
        plugin
        for plugin in plugins
        if (
            plugin.resolve() not in idle
            if isinstance(plugin, Path)
            else plugin.kind != "model" or plugin.name in used
        )
    ]


def _with_trained(names: Sequence[str]) -> list[str]:
    """Those models, and those that their variants train."""
    used = list(names)
    for name in names:
        with suppress(GenbenchError):  # which is the fault of its own rows
            value = models.get(name)
            if isinstance(value, Variant):
                used.append(value.trains)
    return used


def held_code(models_used: Sequence[str], plugins: Iterable[Plugin] = ()) -> HeldCode:
    """What this process knows of genbench's own code and of that of plugins, of models those that
    are used, and of the files among ``plugins``: to be sent with a job, or to be looked at again.
    """
    used = _with_trained(models_used)
    held = {
        f"{group.kind} {name}": code
        for group in GROUPS
        for name, code in group.held().items()
        if group is not models or name in used
    }
    places = [plugin.resolve() for plugin in plugins if isinstance(plugin, Path)]
    files = own_code().files | {str(at): _loaded.get(at) or file_hash(at) for at in places}
    for code in held.values():
        files |= code.files
    return HeldCode(
        {what: code.identity for what, code in held.items()},
        files,
        {what: list(code.files) for what, code in held.items()},
    )


def hold_code(held: HeldCode) -> None:
    """Take over what the process that has sent a job knows of code. Nothing is loaded yet."""
    groups = {group.kind: group for group in GROUPS}
    for what, identity in held.identities.items():
        kind, _, name = what.partition(" ")
        own = {path: held.files[path] for path in held.sources[what]}
        groups[kind].hold(name, Code(identity, own))


def load_plugin(plugin: Plugin) -> None:
    """Add what a job brings along: the names of a file, or what has travelled."""
    if isinstance(plugin, PickledFactory):
        next(group for group in GROUPS if group.kind == plugin.kind).receive(plugin)
    else:
        add_plugin_file(plugin)
