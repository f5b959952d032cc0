"""Names and options: what is unknown or wrong is told in one line."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Literal

import pytest

from genbench import registry
from genbench.errors import UnknownName, UsageError
from genbench.registry import PluginError, Registry, check_options


def factory(
    spec: object,
    *,
    channels: int = 16,
    rate: float = 0.1,
    loss: Literal["hinge", "logistic"] = "hinge",
    sides: tuple[int, ...] = (1, 2),
    steps: int | None = None,
) -> None:
    """Builds nothing."""


def test_options_get_their_defaults() -> None:
    assert check_options("it", factory, {"channels": 8}) == {
        "channels": 8,
        "rate": 0.1,
        "loss": "hinge",
        "sides": (1, 2),
        "steps": None,
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chanels": 8}, "it has no option 'chanels'; did you mean 'channels'?"),
        ({"channels": "8"}, "option 'channels': input should be a valid integer, got '8'"),
        ({"channels": 8.5}, "option 'channels': input should be a valid integer"),
        ({"channels": True}, "option 'channels': input should be a valid integer"),
        ({"loss": "hing"}, "option 'loss': input should be 'hinge' or 'logistic', got 'hing'"),
        ({"sides": 3}, "option 'sides'"),
    ],
)
def test_wrong_options_are_told(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as error:
        check_options("it", factory, options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_an_integer_is_a_float_and_a_list_a_tuple() -> None:
    assert check_options("it", factory, {"rate": 1, "sides": [4, 5]})["sides"] == (4, 5)


def test_a_missing_option_is_told() -> None:
    def needy(*, width: int) -> None: ...

    with pytest.raises(UsageError, match="it needs the option 'width'"):
        check_options("it", needy, {})


def test_unknown_names_come_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown model 'dppm'; did you mean 'ddpm'\\?"):
        registry.models.get("dppm")


def test_summaries_are_read_without_importing() -> None:
    for group in (registry.models, registry.datasets, registry.metrics, registry.extractors):
        for name in group.names():
            assert group.summary(name).endswith("."), f"{group.kind} {name}: {group.summary(name)}"


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry of its own, with a working, a broken and a twice-claimed name."""
    points = [
        EntryPoint("good", "builtins:dict", "genbench.models"),
        EntryPoint("broken", "no_such_module:build", "genbench.models"),
        EntryPoint("twice", "one:build", "genbench.models"),
        EntryPoint("twice", "two:build", "genbench.models"),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    return Registry("model")


def test_names_load_nothing(models: Registry) -> None:
    assert models.names() == ["broken", "good", "twice"]
    assert models.get("good") is dict


def test_a_name_claimed_twice_is_an_error_when_used(models: Registry) -> None:
    with pytest.raises(UsageError, match="'twice' is claimed by one:build and two:build"):
        models.get("twice")


def test_a_plugin_that_cannot_be_imported_is_named(models: Registry) -> None:
    with pytest.raises(PluginError, match=r"model 'broken' \(no_such_module:build\)"):
        models.get("broken")


def test_added_names_are_found_and_kept_apart(models: Registry) -> None:
    models.add("mine", factory)
    assert models.get("mine") is factory
    assert models.summary("mine") == "Builds nothing."
    with pytest.raises(UsageError, match="'mine' is already registered"):
        models.add("mine", factory)


def test_code_hash_follows_the_source(tmp_path: Path, models: Registry) -> None:
    """The same file name in three folders: the content decides, not where it lies."""
    hashes = []
    for number, line in enumerate(("x = 1", "x = 2", "x = 1")):
        script = tmp_path / str(number) / "mine.py"
        script.parent.mkdir()
        script.write_text(f"def build(spec): ...\n{line}\n", encoding="utf-8")
        registry.add_plugin_file(script)
        fresh = Registry("model")
        fresh.add("mine", sys.modules["genbench_plugin_mine"].build)
        hashes.append(fresh.code("mine"))
    assert hashes[0] == hashes[2] != hashes[1]


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
