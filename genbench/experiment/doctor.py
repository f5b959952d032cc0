"""``genbench doctor``: what is installed, what is wrong, and how to fix it."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from genbench import registry
from genbench.api.errors import GenbenchError, UsageError
from genbench.store import cache

PACKAGES = (
    "genbench",
    "torch",
    "torchvision",
    "torchmetrics",
    "lightning-fabric",
    "scipy",
    "pandas",
    "torch-fidelity",
    "safetensors",
)


@dataclass(frozen=True)
class Diagnosis:
    """One line of the report; ``fix`` is given if something is wrong."""

    what: str
    value: str
    fix: str | None = None


def doctor(data_dir: str | Path = "data", *, plugins: Sequence[str | Path] = ()) -> list[Diagnosis]:
    """One line for each package, device, data folder, cache, weights file and plugin."""
    registry.add_plugin_files(plugins)
    return [
        Diagnosis("python", f"{platform.python_version()} at {sys.executable}"),
        *_packages(),
        *_torch(),
        *_data(Path(data_dir)),
        _cache(),
        *_weights(),
        *_plugins(),
    ]


def _packages() -> list[Diagnosis]:
    found = []
    for name in PACKAGES:
        try:
            found.append(Diagnosis(name, version(name)))
        except PackageNotFoundError:
            found.append(Diagnosis(name, "missing", f"pip install {name}"))
    return found


def _torch() -> list[Diagnosis]:
    try:
        import torch
    except Exception as error:
        return [Diagnosis("torch", f"cannot be imported: {error}", "reinstall torch")]
    found = [_matched_pair(torch.__version__)]
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        found.append(Diagnosis("devices", ", ".join(names)))
    else:
        found.append(Diagnosis("devices", f"CPU, {os.cpu_count()} cores; no CUDA device"))
    return found


def _matched_pair(torch: str) -> Diagnosis:
    """torchvision's compiled operators load only beside the torch that they were built for."""
    pair = f"torch {torch} and torchvision"
    try:
        pair = f"torch {torch}, torchvision {version('torchvision')}"
        import torchvision  # noqa: F401 - importing it is the check
    except Exception as error:
        reason = f"{pair} do not match: {type(error).__name__}: {error}"
        return Diagnosis("torch pair", reason, PAIR_FIX)
    return Diagnosis("torch pair", f"{pair} match")


PAIR_FIX = (
    "install both in one call, so that pip takes a matched pair: "
    "pip install --force-reinstall torch torchvision"
)


def _data(data_dir: Path) -> list[Diagnosis]:
    where = data_dir.resolve()
    if not where.exists():
        return [Diagnosis("data", f"{where} (does not exist yet; data sets are downloaded to it)")]
    if not where.is_dir():
        return [Diagnosis("data", f"{where} is a file", "name a folder with --data-dir")]
    if not os.access(where, os.W_OK):
        return [Diagnosis("data", f"{where} cannot be written", "name another with --data-dir")]
    return [Diagnosis("data", f"{where}: {', '.join(sorted(p.name for p in where.iterdir()))}")]


def _cache() -> Diagnosis:
    try:
        folder, most = cache.cache_folder(), cache.cache_limit() / cache.GIGABYTE
    except UsageError as error:
        return Diagnosis("cache", str(error), f"unset {cache.LIMIT}, or set it to a number")
    if folder is None:
        said = "nothing is kept between commands: there is no home, nor a folder of your own"
        return Diagnosis("cache", said, "name a folder with GENBENCH_CACHE")
    held = sum(kept.bytes for kept in cache.cache_contents(folder)) / cache.GIGABYTE
    return Diagnosis("cache", f"{folder}: {held:.2f} GB of at most {most:g} ({cache.LIMIT})")


def _weights() -> list[Diagnosis]:
    try:
        from genbench.extractors.inception import PUBLISHED
    except ImportError as error:
        return [Diagnosis("weights", f"cannot be searched: {error}", "repair the packages above")]
    try:
        path = PUBLISHED.path()
    except GenbenchError as error:
        return [Diagnosis("weights", str(error))]
    state = "present" if path.is_file() else "missing; needed for the extractor 'inception' only"
    return [Diagnosis("weights", f"{path} ({state})")]


def _plugins() -> list[Diagnosis]:
    """Every name, with its package unless that is genbench; and the names that cannot be used."""
    found = []
    for group in registry.GROUPS:
        named, bad = [], []
        for name in group.names():
            origin = group.origin(name)
            named.append(name if origin.startswith("genbench ") else f"{name} ({origin})")
            try:
                group.get(name)
            except UsageError as error:
                bad.append(Diagnosis(f"{group.kind} {name}", str(error), "uninstall one of them"))
            except GenbenchError as error:
                module = group.point(name).value.partition(":")[0]
                fix = f"repair or uninstall {origin}; python -c 'import {module}' shows the error"
                bad.append(Diagnosis(f"{group.kind} {name}", str(error), fix))
        found += [Diagnosis(f"{group.kind}s", ", ".join(named)), *bad]
    return found
