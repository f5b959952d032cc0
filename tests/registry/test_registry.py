"""Names and options: what is unknown or wrong is told in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from genbench import registry
from genbench.api.errors import UnknownName, UsageError
from genbench.registry import PluginError, Registry, groups


def factory(spec: object, *, channels: int = 16) -> None:
    """Builds nothing."""


def test_unknown_names_come_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown model 'dppm'; did you mean 'ddpm'\\?"):
        registry.models.get("dppm")


def test_summaries_are_read_without_importing() -> None:
    for group in (registry.models, registry.datasets, registry.metrics, registry.extractors):
        for name in group.names():
            assert group.summary(name).endswith("."), f"{group.kind} {name}: {group.summary(name)}"


def registry_of(points: list[EntryPoint], monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry of its own, in an environment that offers ``points``."""
    monkeypatch.setattr(groups, "entry_points", lambda group: points)
    return Registry("model")


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A working, a broken and a twice-claimed name."""
    points = [
        EntryPoint("good", "builtins:dict", "genbench.models"),
        EntryPoint("broken", "no_such_module:build", "genbench.models"),
        EntryPoint("twice", "one:build", "genbench.models"),
        EntryPoint("twice", "two:build", "genbench.models"),
    ]
    return registry_of(points, monkeypatch)


def test_names_load_nothing(models: Registry) -> None:
    assert models.names() == ["broken", "good", "twice"]
    assert models.get("good") is dict


def test_a_name_claimed_twice_is_an_error_when_used_never_before(models: Registry) -> None:
    assert models.summary("twice") == "claimed by one:build and two:build"
    assert models.origin("twice") == "one:build and two:build"
    assert not models.is_ours("twice")
    assert models.code("twice") != models.code("good")
    for use in (models.get, models.make, models.point):
        with pytest.raises(UsageError, match="'twice' is claimed by one:build and two:build"):
            use("twice")


def test_a_plugin_that_cannot_be_imported_is_named(models: Registry) -> None:
    with pytest.raises(PluginError, match="model 'broken' of no_such_module:build cannot be"):
        models.get("broken")
    # What a run asks of every name needs no import.
    assert models.summary("broken") == "there is no module 'no_such_module'"
    assert models.code("broken")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def build(:", r"SyntaxError: .*faulty_plugin\.py, line 1"),
        ("import a_package_that_is_not_there", "ModuleNotFoundError: No module named 'a_package_"),
        ("import sys; sys.exit('needs a GPU')", "SystemExit: needs a GPU"),
        ("raise BaseException('stop')", "BaseException: stop"),
        (
            "from genbench.api.errors import UsageError; raise UsageError('no')",
            "cannot be loaded: no;",
        ),
        ("x = 1", "AttributeError: module 'faulty_plugin' has no attribute 'build'"),
    ],
)
def test_whatever_an_import_raises_is_the_plugins_fault(
    source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "faulty_plugin.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    models = registry_of([EntryPoint("it", "faulty_plugin:build", "genbench.models")], monkeypatch)
    assert models.code("it")
    assert isinstance(models.summary("it"), str)
    assert "faulty_plugin" not in sys.modules
    try:
        with pytest.raises(PluginError, match=message) as error:
            models.get("it")
    finally:
        sys.modules.pop("faulty_plugin", None)
    assert "\n" not in str(error.value)


def test_a_keyboard_interrupt_is_nobodys_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_plugin.py").write_text("raise KeyboardInterrupt", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    models = registry_of([EntryPoint("it", "slow_plugin:build", "genbench.models")], monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        models.get("it")
    with pytest.raises(KeyboardInterrupt):
        registry.add_plugin_file(tmp_path / "slow_plugin.py")


@pytest.mark.parametrize("package", ["regular", "shared"])
def test_the_source_of_a_submodule_is_read_without_importing_its_package(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a package whose import fails, and of a namespace that other packages share."""
    folder = tmp_path / package
    folder.mkdir()
    if package == "regular":
        (folder / "__init__.py").write_text("raise RuntimeError", encoding="utf-8")
    file = folder / "model.py"
    file.write_text('def build(spec):\n    """Builds it."""\n', encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("it", f"{package}.model:build", "genbench.models")
    models = registry_of([point], monkeypatch)
    assert models.summary("it") == "Builds it."
    before = models.code("it")
    file.write_text('def build(spec):\n    """Builds it!"""\n', encoding="utf-8")
    assert registry_of([point], monkeypatch).code("it").identity != before.identity
    assert package not in sys.modules


def test_entry_points_that_are_malformed(monkeypatch: pytest.MonkeyPatch) -> None:
    models = registry_of([EntryPoint("it", "my-model:build", "genbench.models")], monkeypatch)
    assert models.summary("it") == "there is no module 'my-model'"
    assert models.code("it")
    with pytest.raises(PluginError, match="model 'it' of my-model:build cannot be loaded"):
        models.get("it")


def test_what_a_factory_raises_by_mistake_names_it(models: Registry) -> None:
    def careless(argument: str) -> None:
        if argument == "wrong":
            raise UsageError("no split 'wrong'")
        raise ZeroDivisionError("a bug")

    models.add("mine", careless)
    with pytest.raises(UsageError, match=r"^no split 'wrong'$"):
        models.make("mine", "wrong")
    with pytest.raises(PluginError, match=r"^model 'mine' of .*test_registry\.py failed: ZeroDiv"):
        models.make("mine", "right")


def test_added_names_are_found_and_kept_apart(models: Registry) -> None:
    models.add("mine", factory)
    assert models.get("mine") is factory
    assert models.summary("mine") == "Builds nothing."
    with pytest.raises(UsageError, match=r"'mine' is already registered by .*test_registry\.py"):
        models.add("mine", factory)


def test_code_hash_follows_the_source(tmp_path: Path) -> None:
    """The same file name in three folders: the content decides, not where it lies."""
    models = [Registry("model") for _ in range(3)]
    for number, line in enumerate(("x = 1", "x = 2", "x = 1")):
        script = tmp_path / str(number) / "mine.py"
        script.parent.mkdir()
        script.write_text(f"def build(spec): ...\n{line}\n", encoding="utf-8")
        registry.add_plugin_file(script)
        (module,) = (m for m in sys.modules.values() if file_of(m) == str(script))
        models[number].add("mine", module.build)
    first, second, third = (set(group.code("mine").files.values()) for group in models)
    assert first == third != second
    assert models[1].origin("mine") == str(tmp_path / "1" / "mine.py")


def of_width(width: int) -> Callable[[object], int]:
    def build(spec: object) -> int:
        return width

    return build


def holding(width: int) -> Callable[[object], object]:
    class Model:
        size = width

        def __init__(self, spec: object) -> None: ...

    return Model


def test_functions_of_one_name_are_kept_apart(models: Registry) -> None:
    """As a loop makes them, and a cell of a notebook that is run again."""
    names = [models.name_of(of_width(width)) for width in (16, 32, 16, 32)]
    assert names[:2] == names[2:]
    assert names[1] == f"{names[0]}@{models.code(names[1]).identity}"
    elsewhere = Registry("model")
    for factory in models.travelling(names):
        elsewhere.receive(factory)
    for group in (models, elsewhere):
        assert [group.make(name, None) for name in names] == [16, 32, 16, 32]


def test_what_a_class_holds_is_in_its_identity(models: Registry) -> None:
    first, second = (models.name_of(holding(width)) for width in (16, 32))
    assert models.code(first) != models.code(second)


def test_a_lambda_is_refused(models: Registry) -> None:
    """Two of one line have the same source, and so would have the same identity."""
    with pytest.raises(UsageError, match="a function with a name: write a function that builds"):
        models.name_of(lambda spec: None)


def file_of(module: object) -> str | None:
    return getattr(module, "__file__", None)


def test_code_hash_of_a_partial_is_that_of_its_function(models: Registry) -> None:
    models.add("whole", factory)
    models.add("part", partial(factory, channels=3))
    assert models.code("part") == models.code("whole")


def test_a_value_that_is_no_factory_comes_from_the_script_that_added_it(tmp_path: Path) -> None:
    """A ``Variant`` is an instance of genbench's class, and so names genbench's module."""
    codes = []
    for number, scale in enumerate((1, 2)):
        script = tmp_path / str(number) / "quick.py"
        script.parent.mkdir()
        script.write_text(
            '"""Samples in few steps."""\n'
            "from genbench import registry\n"
            "from genbench.api import Variant\n"
            f"registry.models.add('quick-{number}', Variant('ddpm', {{'steps': {scale}}}))\n",
            encoding="utf-8",
        )
        registry.add_plugin_file(script)
        assert registry.models.origin(f"quick-{number}") == str(script)
        assert registry.models.summary(f"quick-{number}") == "Samples in few steps."
        codes.append(registry.models.code(f"quick-{number}").identity)
    assert len({*codes, registry.own_code().identity}) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such Python file"), ("1 / 0", "ZeroDivisionError"), ("def", "SyntaxError")],
)
def test_plugin_files_that_fail_are_named(
    tmp_path: Path, content: str | None, message: str
) -> None:
    script = tmp_path / "bad.py"
    if content is not None:
        script.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=message) as error:
        registry.add_plugin_file(script)
    assert str(script) in str(error.value)


def test_a_plugin_file_that_fails_has_added_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry.models, "added", {})
    script = tmp_path / "half.py"
    text = "from genbench import registry\nregistry.models.add('half', dict)\n"
    script.write_text(text + "import sys; sys.exit(3)", encoding="utf-8")
    with pytest.raises(UsageError, match="SystemExit: 3"):
        registry.add_plugin_file(script)
    script.write_text(text, encoding="utf-8")
    registry.add_plugin_file(script)
    assert registry.models.get("half") is dict
