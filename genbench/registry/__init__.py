"""Name → factory, over entry points of installed packages and names that a script adds.

A factory's signature is its schema: its keyword-only parameters are the options that a suite or a
command line may set. A wrong option is an error of one line. Listing names loads no plugin.
"""

from __future__ import annotations

from genbench.api.errors import PluginError, wrap_plugin_errors
from genbench.registry.callables import PickledFactory
from genbench.registry.code import (
    Code,
    CodeChanged,
    HeldCode,
    is_installed,
    own_code,
    require_same,
    undeclared_modules,
)
from genbench.registry.groups import (
    GROUPS,
    Registry,
    augmentations,
    claims,
    datasets,
    executors,
    extractors,
    leaderboards,
    metrics,
    modalities,
    models,
    samplers,
    suites,
)
from genbench.registry.options import call, check_options, require_plain, schema
from genbench.registry.plugins import (
    Plugin,
    add_plugin_file,
    add_plugin_files,
    held_code,
    hold_code,
    load_plugin,
    needed,
    travelling,
)
from genbench.registry.surroundings import kept_surroundings, kept_torch

__all__ = [
    "GROUPS",
    "Code",
    "CodeChanged",
    "HeldCode",
    "PickledFactory",
    "Plugin",
    "PluginError",
    "Registry",
    "add_plugin_file",
    "add_plugin_files",
    "augmentations",
    "call",
    "check_options",
    "claims",
    "datasets",
    "executors",
    "extractors",
    "held_code",
    "hold_code",
    "is_installed",
    "kept_surroundings",
    "kept_torch",
    "leaderboards",
    "load_plugin",
    "metrics",
    "modalities",
    "models",
    "needed",
    "own_code",
    "require_plain",
    "require_same",
    "samplers",
    "schema",
    "suites",
    "travelling",
    "undeclared_modules",
    "wrap_plugin_errors",
]
