"""The source of a plugin: its place, its hash and its docstring, without importing it."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import re
import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from genbench.api.errors import UsageError, one_line
from genbench.store import fingerprint


def source_hash(module: str, what: str) -> str:
    """A hash of every Python file of a module's top-level package; of the module's own file, or
    package, if it has no such package (a script, or a namespace that others share).

    Raises ``UsageError``, naming ``what``, if neither has a source file."""
    file = source_file(module)
    if file is None:
        raise UsageError(f"{what} has no source file: put it into a file")
    return hash_source(file)


def source_file(module: str) -> Path | None:
    """The source file of a module: the ``__init__.py`` of its top-level package, else its own
    file; ``None`` if there is neither."""
    for candidate in (module.partition(".")[0], module):
        loaded = sys.modules.get(candidate)
        spec = None if loaded is not None else _find(candidate)
        origin = spec.origin if spec else getattr(loaded, "__file__", None)
        if origin is not None and Path(origin).is_file():
            return Path(origin)
    return None


def hash_source(file: Path) -> str:
    """A hash of the paths and contents of a file, or of a package given by its ``__init__.py``."""
    sources = sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]
    return fingerprint(
        [
            [str(source.relative_to(file.parent)), hashlib.sha256(source.read_bytes()).hexdigest()]
            for source in sources
        ]
    )


def _find(module: str) -> ModuleSpec | None:
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
    spec = _find(module)
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
