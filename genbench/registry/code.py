"""What of a plugin's code decides its results: an identity names what was loaded.

That is the file that registers the plugin, the package around it, every module that these import
and that is neither of the standard library nor installed, and the files that any of them declares::

    GENBENCH_FILES = ["means.json"]  # read by this module; relative to it

Installed packages are told by name and version; torch and whatever else genbench needs itself are
conditions of every row. Of the contestants that come with genbench, so are the packages of its
extras: what one of them needs is no part of the others. Nothing is imported to find this out.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import os
import re
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from genbench.api.errors import UsageError
from genbench.registry.sources import source_file
from genbench.store import fingerprint

DECLARED = "GENBENCH_FILES"
OURS = "genbench"


@dataclass(frozen=True)
class Code:
    """The code of one plugin as it was when it was read."""

    identity: str
    files: dict[str, str]
    """Every file that decides the identity, by its absolute path, and its SHA-256."""


@dataclass(frozen=True)
class HeldCode:
    """The code that one process knows of, for another."""

    identities: Mapping[str, str]
    """By kind and name, as ``model ddpm``."""
    files: Mapping[str, str]
    """Of all of them and of genbench itself: see ``Code``."""
    sources: Mapping[str, Sequence[str]]
    """By kind and name, its own among ``files``: another's change is not its own."""


class CodeChanged(UsageError):
    """A file is no longer what it was when this process, or the one that has sent the job, read
    it: what is in memory has no identity."""


def code_of(what: str, *modules: str) -> Code:
    """The code of a plugin that ``modules`` define and register. Raises ``UsageError``, naming
    ``what``, if none has a source file."""
    found = _closure(modules)
    if not found.files:
        raise UsageError(f"{what} has no source file: put it into a file")
    hashes = {str(path): file_hash(path) for path in found.files}
    facts = sorted([name, hashes[str(path)]] for path, name in found.files.items())
    return Code(fingerprint([facts, sorted(found.packages)]), hashes)


@lru_cache(maxsize=1)
def own_code() -> Code:
    """genbench's own code, when first asked for. What it imports is a condition of every row."""
    file = source_file(OURS)
    assert file is not None
    hashes = {str(path): file_hash(path) for path in sources(file)}
    names = [str(Path(path).relative_to(file.parent.absolute())) for path in hashes]
    return Code(fingerprint([*zip(names, hashes.values(), strict=True)]), hashes)


def require_same(files: Mapping[str, str]) -> None:
    """Raises ``CodeChanged`` where one of ``files`` has another SHA-256 now."""
    for path, expected in files.items():
        if file_hash(Path(path)) != expected:
            raise CodeChanged(f"{path} has changed since it was loaded: start again")


def file_hash(path: Path) -> str:
    """SHA-256, or ``absent``."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "absent"


def undeclared_modules(files: Mapping[str, str]) -> list[Path]:
    """The source files of modules that this process has imported and that are neither installed,
    nor genbench's, nor among ``files``: loaded by a name that only running the code shows."""
    loaded = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    paths = {Path(os.path.abspath(file)) for file in loaded if file and file.endswith(".py")}
    ours = source_file(OURS)
    return sorted(
        path
        for path in paths
        if str(path) not in files
        and path.is_file()  # torch.ops has a name for one that there is not
        and not is_installed(path)
        and (ours is None or ours.parent not in path.parents)
    )


def is_installed(path: Path) -> bool:
    """Whether a file belongs to Python's own library, or lies where packages are installed."""
    if {"site-packages", "dist-packages"} & set(path.parts):
        return True
    return Path(sysconfig.get_path("stdlib")) in path.parents


@dataclass(frozen=True)
class _Closure:
    files: dict[Path, str]
    """With their names in the identity, which do not change when a folder moves."""
    packages: set[str]
    """Name and version of each installed one."""


def _closure(roots: Sequence[str]) -> _Closure:
    found = _Closure({}, set())
    needed = _required(extras=all(map(_comes_with_genbench, roots)))
    seen: set[Path] = set()
    waiting = [*roots]
    while waiting:
        module = waiting.pop()
        file = source_file(module)
        if file is None or file in seen:
            continue
        seen.add(file)
        if module not in roots and is_installed(file):
            found.packages.update(_distributions(module.partition(".")[0], needed))
            continue
        for source in sources(file):
            found.files[source] = source.relative_to(file.parent).as_posix()
            parsed = _parsed(source, file_hash(source))
            for declared in parsed.declared:
                found.files[source.parent / declared] = f"{found.files[source]}: {declared}"
            waiting += parsed.imports
    return found


def sources(file: Path) -> list[Path]:
    """A file, or every file of the package whose ``__init__.py`` it is; sorted."""
    found = file.parent.rglob("*.py") if file.name == "__init__.py" else [file]
    return sorted(Path(os.path.abspath(source)) for source in found)


@dataclass(frozen=True)
class _Parsed:
    imports: tuple[str, ...]
    declared: tuple[str, ...]


@lru_cache(maxsize=4096)
def _parsed(source: Path, content: str) -> _Parsed:
    """What a file says that it needs; nothing, if it cannot be parsed. ``content`` is its hash."""
    try:
        tree = ast.parse(source.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return _Parsed((), ())
    imports = {module for node in ast.walk(tree) for module in _imported(node)}
    wanted = {m for m in imports if m.partition(".")[0] not in {OURS, *sys.stdlib_module_names}}
    return _Parsed(tuple(sorted(wanted)), tuple(declared_files(tree)))


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Call) and node.args:  # import_module("helper")
        called = getattr(node.func, "attr", getattr(node.func, "id", ""))
        first = node.args[0]
        if called in ("import_module", "__import__") and isinstance(first, ast.Constant):
            yield str(first.value).lstrip(".")


def declared_files(tree: ast.Module) -> list[str]:
    """What ``GENBENCH_FILES`` lists; only names written as they are can be read here."""
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == DECLARED for target in targets):
                try:
                    value = ast.literal_eval(node.value)
                except ValueError:
                    return []
                return [str(name) for name in value] if isinstance(value, list | tuple) else []
    return []


def _distributions(package: str, needed: Set[str]) -> list[str]:
    """Name and version of what has installed ``package``, but for what is ``needed`` anyway."""
    if _normal(package) in needed:
        return []
    names = _installed_packages().get(package, [package])
    return [
        f"{name} {importlib.metadata.version(name)}"
        for name in dict.fromkeys(names)
        if _normal(name) not in {OURS, *needed}
    ]


def _comes_with_genbench(module: str) -> bool:
    return OURS in _installed_packages().get(module.partition(".")[0], ())


@lru_cache(maxsize=1)
def _installed_packages() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


@lru_cache(maxsize=2)
def _required(*, extras: bool) -> frozenset[str]:
    """What genbench needs, with the packages of its ``extras`` or without."""
    said = importlib.metadata.requires(OURS) or []
    names = (re.match(r"[\w.-]+", line) for line in said if extras or "extra ==" not in line)
    return frozenset(_normal(match.group()) for match in names if match)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
