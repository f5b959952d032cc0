"""An identity names the code that was loaded: all of it, and no other."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import ring
from click.testing import CliRunner
from forked import Forked, jobs_inside

from genbench import registry
from genbench.cli import main
from genbench.registry.code import Code, CodeChanged, code_of, require_same, undeclared_modules
from genbench.store.records import read_records

PLUGIN = """
import json
from pathlib import Path
import helper
from genbench import registry

GENBENCH_FILES = ["means.json"]
MEANS = json.loads((Path(__file__).parent / "means.json").read_text())

def build(spec):
    from late import ANSWER
    return ANSWER
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A plugin beside what it needs: a module, one that it imports late, data, a package."""
    (tmp_path / "plugin.py").write_text(PLUGIN, encoding="utf-8")
    (tmp_path / "helper.py").write_text("from parts.inner import SCALE\n", encoding="utf-8")
    (tmp_path / "late.py").write_text("ANSWER = 42\n", encoding="utf-8")
    (tmp_path / "unused.py").write_text("", encoding="utf-8")
    (tmp_path / "means.json").write_text("[1, 2]", encoding="utf-8")
    package = tmp_path / "parts"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "inner.py").write_text("import site_made\nSCALE = 1\n", encoding="utf-8")
    installed = tmp_path / "site-packages"
    (installed / "site_made-1.0.dist-info").mkdir(parents=True)
    install("1.0", tmp_path)
    monkeypatch.syspath_prepend(installed)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("plugin", "helper", "late", "parts", "parts.inner", "site_made"):
        sys.modules.pop(name, None)


def install(version: str, folder: Path) -> None:
    """A package that others have installed."""
    (folder / "site-packages" / "site_made.py").write_text("X = 1\n", encoding="utf-8")
    metadata = f"Metadata-Version: 2.1\nName: site_made\nVersion: {version}\n"
    file = folder / "site-packages" / "site_made-1.0.dist-info" / "METADATA"
    file.write_text(metadata, encoding="utf-8")


def replace(name: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        text = (folder / name).read_text(encoding="utf-8")
        assert old in text
        (folder / name).write_text(text.replace(old, new), encoding="utf-8")

    return edit


DECISIVE = {
    "its own file": replace("plugin.py", "return ANSWER", "return -ANSWER"),
    "a module beside it": replace("helper.py", "SCALE", "SCALE as S"),
    "a module imported late": replace("late.py", "42", "43"),
    "a module of a module": replace("parts/inner.py", "= 1", "= 2"),
    "a declared file": replace("means.json", "1", "3"),
    "the version of an installed package": lambda folder: install("1.1", folder),
}
INDIFFERENT = {
    "a module that nothing imports": replace("unused.py", "", "X = 1"),
    "the source of an installed package": replace("site-packages/site_made.py", "1", "2"),
}


@pytest.mark.parametrize("edit", DECISIVE)
def test_what_decides_an_identity(folder: Path, edit: str) -> None:
    before = code_of("it", "plugin")
    DECISIVE[edit](folder)
    assert code_of("it", "plugin").identity != before.identity
    assert "plugin" not in sys.modules  # nothing is imported to know it


@pytest.mark.parametrize("edit", INDIFFERENT)
def test_what_does_not(folder: Path, edit: str) -> None:
    before = code_of("it", "plugin")
    INDIFFERENT[edit](folder)
    assert code_of("it", "plugin") == before


def test_packages_of_extras_decide_plugins_but_no_contestants(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever installs an extra would train every contestant again."""
    (folder / "plugin.py").write_text("import transformers\n", encoding="utf-8")
    known = importlib.metadata.version
    identities = []
    for version in ("1.0", "2.0"):
        monkeypatch.setattr(
            importlib.metadata,
            "version",
            lambda name, version=version: version if name == "transformers" else known(name),
        )
        identities.append([code_of("it", m).identity for m in ("plugin", "baselines.ddpm")])
    (plugin, contestant), (other_plugin, same_contestant) = identities
    assert plugin != other_plugin
    assert contestant == same_contestant


def test_the_files_of_an_identity(folder: Path) -> None:
    names = {str(Path(file).relative_to(folder)) for file in code_of("it", "plugin").files}
    assert names == {
        *("plugin.py", "helper.py", "late.py", "means.json", "parts/__init__.py", "parts/inner.py")
    }


def test_a_file_that_has_changed_is_named(folder: Path) -> None:
    files = code_of("it", "plugin").files
    require_same(files)
    (folder / "means.json").unlink()
    with pytest.raises(CodeChanged, match=r"means\.json has changed since it was loaded"):
        require_same(files)


def test_a_module_imported_by_a_name_that_is_nowhere_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = code_of("it", "helper").files
    made_up = ModuleType("made_up")
    made_up.__file__ = "_ops.py"  # as torch.ops has it
    monkeypatch.setitem(sys.modules, "made_up", made_up)
    before = undeclared_modules(files)
    assert all(path.is_file() for path in before)
    __import__("la" + "te")
    assert {*undeclared_modules(files)} - {*before} == {folder / "late.py"}


def test_a_script_that_wraps_what_another_module_defines(tmp_path: Path) -> None:
    """``functools.wraps`` gives the wrapper the module of what it wraps."""
    code = """
import functools
from genbench import registry
build = registry.models.get("gan")

@functools.wraps(build)
def wrapped(spec, *, width: int = 1):
    return build(spec)

registry.models.add("NAME", wrapped)
"""
    found = []
    for name, width in (("wrapped-1", "1"), ("wrapped-2", "2")):
        script = tmp_path / name / "wraps.py"
        script.parent.mkdir()
        text = code.replace("NAME", name).replace("int = 1", f"int = {width}")
        script.write_text(text, encoding="utf-8")
        registry.add_plugin_file(script)
        found.append(registry.models.code(name))
        assert str(script) in found[-1].files
    assert found[0].identity != found[1].identity


def test_a_name_keeps_the_identity_of_what_was_loaded(folder: Path) -> None:
    """Whatever happens to the file afterwards."""
    models = registry.Registry("model")
    value = models.get("plugin:build")
    before = models.code("plugin:build")
    DECISIVE["a module beside it"](folder)
    assert models.code("plugin:build") == before
    assert models.get("plugin:build") is value


def test_what_another_process_read_must_be_what_is_loaded(folder: Path) -> None:
    models = registry.Registry("model")
    models.hold("plugin:build", Code("1f", dict(code_of("it", "plugin").files)))
    DECISIVE["a declared file"](folder)
    for _ in range(2):
        with pytest.raises(CodeChanged, match=r"means\.json has changed"):
            models.get("plugin:build")


EDITED = """
import pathlib, torch
from genbench import registry
import genbench.api as api

WIDTH = 1.0

class Model(torch.nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.players = torch.nn.ModuleDict({"it": torch.nn.Linear(2, 2)})
        self.noise_shape = spec.shape

    def optimization(self, player):
        return api.Optimization(lambda named: torch.optim.SGD(named, lr=0.0))

    def losses(self, batch, progress):
        source = pathlib.Path(__file__)
        source.write_text(source.read_text().replace("WIDTH = 1.0", "WIDTH = 9.0"))
        yield api.PlayerStep("it", self.players["it"](batch.data).square().mean())

    def sample(self, noise, condition):
        return WIDTH * noise

def edited(spec):
    return Model(spec)

registry.models.add("edited", edited)
"""


def test_a_plugin_edited_while_a_run_is_under_way(tmp_path: Path) -> None:
    """The training of the first seed edits the plugin: what it computes is stored as the work of
    what was loaded, and the second seed is refused, not computed with other code. Another process
    loads what is there now, and computes both again."""
    plugin = tmp_path / "edited.py"
    plugin.write_text(EDITED, encoding="utf-8")
    suite = tmp_path / "edited.toml"
    suite.write_text(
        ring.SUITE.replace("[0]", "[0, 1]") + '[entries.it]\nmodel = "edited"\n', encoding="utf-8"
    )
    command = ["run", suite, "--plugin", plugin, "--jobs", "1", "--out", tmp_path / "out"]

    def rows() -> list[tuple[float | None, str | None]]:
        found = [r for r in read_records(tmp_path / "out") if r.entry == "it"]
        return [(record.value("frechet_distance"), record.reason) for record in found]

    registry.metrics.code("manifold")  # it travels with the job, and has not changed
    Forked(command, tmp_path / "said").ended(1)
    (first, none), (nothing, reason) = rows()
    assert (none, nothing) == (None, None)
    assert "edited.py has changed since it was loaded: start again" in str(reason)
    Forked(command, tmp_path / "said", jobs_inside).ended()
    (new, _), (other, _) = rows()
    assert first is not None
    assert new is not None
    assert other is not None
    assert min(new, other) > 10 * first


READER = """
import json, pathlib, torch
from genbench import registry
from genbench.api import SampleSpec, TensorSamples

HERE = pathlib.Path(__file__).parent
{declared}

def points(argument, data_dir):
    rows = json.loads((HERE / "rows.json").read_text())
    spec = SampleSpec("points", (2,), None)
    return TensorSamples(spec, f"read:{{argument or 'train'}}@1", torch.tensor(rows), {{}})

registry.datasets.add("{name}", points)
"""


@pytest.mark.parametrize("declared", ["", 'GENBENCH_FILES = ["rows.json"]'])
def test_a_file_that_is_read_and_not_declared(declared: str, tmp_path: Path) -> None:
    name = f"read-{len(declared)}"
    plugin = tmp_path / "reader.py"
    plugin.write_text(READER.format(declared=declared, name=name), encoding="utf-8")
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps([[0.5, 1.0]] * 64), encoding="utf-8")
    result = CliRunner().invoke(main, ["check", "dataset", name, "--plugin", str(plugin)])
    warning = f"warning: it reads {rows}, which no identity holds: list it in GENBENCH_FILES"
    assert (warning in result.stderr) == (not declared)
