"""The source of a plugin: its place and its docstring, without importing it."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from genbench.api.errors import one_line


def source_file(module: str) -> Path | None:
    """The source file of a module: the ``__init__.py`` of its top-level package, else its own
    file; ``None`` if there is neither."""
    for candidate in (module.partition(".")[0], module):
        loaded = sys.modules.get(candidate)
        spec = None if loaded is not None else find(candidate)
        origin = spec.origin if spec else getattr(loaded, "__file__", None)
        if origin is not None and Path(origin).is_file():
            return Path(origin)
    return None


def find(module: str) -> ModuleSpec | None:
    """The place of a module; neither it nor a package around it is imported."""
    name, *rest = module.split(".")
    spec = importlib.util.find_spec(name) if name else None
    for part in rest:
        within = None if spec is None else spec.submodule_search_locations
        if within is None:
            return None
        name = f"{name}.{part}"
        try:
            spec = PathFinder.find_spec(name, within)
        except KeyError:  # a namespace within a namespace, which Python would have to import
            return None
    return spec


def first_line(module: str, attr: str) -> str:
    """The first line of the docstring of ``attr``, or of the module's if ``attr`` has none, as a
    ``Variant``; or the reason why the source cannot be read."""
    spec = find(module)
    if spec is None:
        return f"there is no module {module!r}"
    if spec.origin is None or not spec.origin.endswith(".py"):
        return ""
    file = Path(spec.origin)
    try:
        tree = ast.parse(file.read_bytes(), file.name)
    except (OSError, SyntaxError, ValueError) as error:
        return f"cannot be read: {one_line(error)}"
    described = (ast.FunctionDef, ast.ClassDef)
    nodes = [n for n in tree.body if isinstance(n, described) and n.name == attr]
    docstring = ast.get_docstring(nodes[0] if nodes else tree) or ""
    return re.sub(r"\s+", " ", docstring.partition("\n\n")[0])
