"""The law of imports: one way, and the light parts without torch."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

ORDER = [
    {"api"},
    {"store"},
    {"registry", "io", "loggers"},
    {"modalities"},
    {"data", "suite"},
    {"devices"},
    {"training", "sampling", "extractors", "metrics"},
    {"evaluation", "analysis"},
    {"rendering"},
    {"report"},
    {"experiment"},
    {"executors"},
    {"testing"},
    {"cli"},
    {"__main__"},
]
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}


def imports(file: Path) -> set[str]:
    """Every module that ``file`` imports, wherever in the file, typing-only imports included."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            assert node.module
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "genbench" and len(parts) > 1 else None


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("file", files("genbench"), ids=lambda f: str(f.relative_to(ROOT)))
def test_imports_of_the_harness_run_one_way(file: Path) -> None:
    ours = file.relative_to(ROOT / "genbench").with_suffix("").parts[0]
    if ours == "__init__":
        return
    assert ours in RANK, f"{ours} has no place in the order"
    used = imports(file)
    assert not any(module.startswith("baselines") for module in used)
    for other in {room(module) for module in used} - {None, ours}:
        assert RANK[other] < RANK[ours], f"{ours} imports {other}"


CONTESTANTS = [*files("baselines"), *files("baselines_pretrained")]


@pytest.mark.parametrize("file", CONTESTANTS, ids=lambda f: str(f.relative_to(ROOT)))
def test_contestants_use_what_any_plugin_may(file: Path) -> None:
    rooms = {room(module) for module in imports(file)} - {None}
    assert rooms <= {"api"}


def test_contestants_with_given_weights_are_apart() -> None:
    """The packages that they need would be part of the identity of every other one."""
    given = {"diffusers", "transformers", "baselines_pretrained"}
    assert not any(given & {m.split(".")[0] for m in imports(file)} for file in files("baselines"))


def private_names(file: Path) -> set[str]:
    """What a test imports from genbench or baselines, reads of an object, or replaces there, by a
    name of one leading underscore; its own ``self._name`` is its own."""
    found: set[object] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.ImportFrom(module=str(module)) if module.startswith(("genbench", "baselines")):
                found |= {alias.name for alias in node.names}
            case ast.Attribute(value=ast.Name(id="self" | "os")):
                pass  # os._exit
            case ast.Attribute(attr=name):
                found.add(name)
            case ast.Call(
                func=ast.Attribute(attr="setattr" | "delattr"), args=[_, ast.Constant(name), *_]
            ):
                found.add(name)
    return {name for name in found if isinstance(name, str) and re.fullmatch(r"_[a-z]\w*", name)}


NOT_OURS = {
    "_dynamo",  # torch's
    "_get_variance",  # diffusers'
    "_repr_html_",  # read by notebooks
    "_repr_markdown_",
    "_repr_png_",
}


@pytest.mark.parametrize("file", files("tests"), ids=lambda f: str(f.relative_to(ROOT)))
def test_tests_use_public_names(file: Path) -> None:
    """What a private name does is seen in what a public one does."""
    assert private_names(file) <= NOT_OURS


def test_looking_around_imports_no_torch() -> None:
    """Nor does importing genbench."""
    groups = ("models", "suites", "metrics", "extractors")
    code = f"""
import sys, genbench, genbench.api
assert 'torch' not in sys.modules, 'torch was imported'
from genbench.cli import main
for arguments in {[["--help"], ["run", "--help"], *(["list", group] for group in groups)]}:
    main(arguments, standalone_mode=False)
    assert 'torch' not in sys.modules, f'torch was imported by {{arguments}}'
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
