"""A factory's options: resolved, checked, and grouped in dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import pytest
from pydantic import PositiveInt

from genbench.api.errors import UsageError
from genbench.registry import PluginError, Registry, call, check_options, schema


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


def test_options_that_have_no_json_are_the_plugins_fault() -> None:
    def odd(*, kind: type = int) -> None: ...

    with pytest.raises(PluginError, match="it, option 'kind': <class 'int'> is neither a number"):
        check_options("it", odd, {})


def test_a_signature_that_cannot_be_read_is_the_plugins_fault() -> None:
    def typed(*, width: OnlyForTypeCheckers) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(PluginError, match="typed cannot be read: NameError: name 'OnlyForType"):
        check_options("it", typed, {"width": 3})
    with pytest.raises(PluginError, match="cannot be read: TypeError: 3 is not a callable"):
        check_options("it", 3, {})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Network:
    """A group whose parameter has the name of one of its fields."""

    network: Literal["unet", "dit"] = "unet"
    channels: PositiveInt = 16
    multipliers: tuple[PositiveInt, ...] = (1, 2)
    area: int = field(init=False, default=0)


@dataclass(frozen=True)
class Optimizer:
    learning_rate: float
    betas: tuple[float, float] = (0.9, 0.99)


def grouped(
    spec: str,
    *,
    steps: int = 10,
    network: Network = Network(channels=32),
    optimizer: Optimizer,
) -> dict[str, Any]:
    return {"spec": spec, "steps": steps, "network": network, "optimizer": optimizer}


def test_the_fields_of_a_group_are_options() -> None:
    """The group's own default decides the defaults of its fields."""
    assert list(schema(grouped)) == [
        *("steps", "network", "channels", "multipliers", "learning_rate", "betas")
    ]
    resolved = check_options("it", grouped, {"learning_rate": 1, "multipliers": [1, 4]})
    assert resolved == {
        "steps": 10,
        "network": "unet",
        "channels": 32,
        "multipliers": (1, 4),
        "learning_rate": 1.0,
        "betas": (0.9, 0.99),
    }
    assert call(grouped, "spec", **resolved) == {
        "spec": "spec",
        "steps": 10,
        "network": Network("unet", 32, (1, 4)),
        "optimizer": Optimizer(1.0),
    }


def test_a_group_is_built_from_the_options_that_are_given() -> None:
    built = call(grouped, "spec", learning_rate=0.5, network="dit")
    assert built["network"] == Network("dit", 32)
    assert built["optimizer"] == Optimizer(0.5)
    with pytest.raises(TypeError, match="learning_rate"):
        call(grouped, "spec")


def test_a_partial_chooses_the_defaults_of_a_group() -> None:
    wide = partial(grouped, optimizer=Optimizer(0.1, (0.0, 0.9)))
    assert check_options("it", wide, {})["betas"] == (0.0, 0.9)
    assert call(wide, "spec", learning_rate=0.2)["optimizer"] == Optimizer(0.2, (0.0, 0.9))


def test_what_a_registry_makes_has_its_groups() -> None:
    models = Registry("model")
    models.add("grouped", grouped)
    built = models.make("grouped", "spec", learning_rate=0.5, channels=8)
    assert built["network"] == Network(channels=8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chanels": 8}, "it has no option 'chanels'; did you mean 'channels'?"),
        ({"channels": 0}, "it, option 'channels': input should be greater than 0, got 0"),
        ({"network": "resnet"}, "option 'network': input should be 'unet' or 'dit', got 'resnet'"),
        ({"optimizer": 3}, "it has no option 'optimizer'"),
        ({"area": 3}, "it has no option 'area'"),
        ({}, "it needs the option 'learning_rate'"),
    ],
)
def test_wrong_options_of_a_group_are_reported(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as error:
        check_options("it", grouped, options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@dataclass(frozen=True)
class Other:
    channels: int = 3


def test_two_options_of_one_name_are_the_plugins_fault() -> None:
    def twice(*, one: Network = Network(), other: Other = Other()) -> None: ...

    def beside(*, channels: int = 1, one: Network = Network()) -> None: ...

    for faulty in (twice, beside):
        with pytest.raises(PluginError, match=r"has two options named 'channels'$"):
            check_options("it", faulty, {})


@dataclass(frozen=True)
class Odd:
    kind: type = int


@dataclass(frozen=True)
class Unreadable:
    width: OnlyForTypeCheckers = 3  # type: ignore[name-defined]  # noqa: F821


def test_a_group_at_fault_is_the_plugins_fault() -> None:
    def odd(*, group: Odd = Odd()) -> None: ...

    def unreadable(*, group: Unreadable = Unreadable()) -> None: ...

    with pytest.raises(PluginError, match="it, option 'kind': <class 'int'> is neither a number"):
        check_options("it", odd, {})
    with pytest.raises(PluginError, match="unreadable cannot be read: NameError: name 'OnlyForTyp"):
        check_options("it", unreadable, {})
