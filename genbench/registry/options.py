"""A factory's signature is its schema: what options it has, and how they are checked.

Options that several factories share are a dataclass, a *group*: a keyword-only parameter of that
type (``network: UNetOptions``) gives one option for each of its fields. Suites, command lines,
records and identities see the fields alone (``options = { channels = 16 }``).
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from genbench.api.errors import PluginError, UsageError, did_you_mean, wrap_plugin_errors
from genbench.store import canonical

EMPTY = inspect.Parameter.empty


def schema(factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The options of a factory or of ``sample``: its keyword-only parameters, with a parameter for
    each field in the place of a group, and with types resolved.

    The default of a field is the one in the default of its group, if the group has a default.
    Raises ``PluginError`` if the types cannot be resolved (a type that is imported for type
    checkers alone), or if two options have one name.
    """
    options: dict[str, inspect.Parameter] = {}
    with wrap_plugin_errors(f"the signature of {_named(factory)} cannot be read"):
        for parameter in _keywords(factory):
            for option in _fields(parameter) if _is_group(parameter) else [parameter]:
                if option.name in options:
                    raise PluginError(f"{_named(factory)} has two options named {option.name!r}")
                options[option.name] = option
    return options


def call(factory: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """``factory(*arguments, **options)``, with the groups built from the options that are theirs.

    ``options`` are named as in ``schema``; one that is left out has its default.
    """
    groups = {}
    with wrap_plugin_errors(f"the signature of {_named(factory)} cannot be read"):
        for parameter in filter(_is_group, _keywords(factory)):
            fields = {field.name: field.default for field in _fields(parameter)}
            given = {name: options.pop(name, default) for name, default in fields.items()}
            given = {name: value for name, value in given.items() if value is not EMPTY}
            groups[parameter.name] = parameter.annotation, given
    built = {name: group(**given) for name, (group, given) in groups.items()}
    return factory(*arguments, **options, **built)


def check_options(
    what: str, factory: Callable[..., Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Every option of ``factory``: those given, with their types checked, and the defaults.

    ``what`` names the owner in messages (``model 'ddpm'``). Raises ``UsageError`` for an unknown
    option (with the nearest one), a wrong type or value, or a missing one; ``PluginError`` if the
    signature is at fault.
    """
    import pydantic

    from genbench.registry.validation import message

    known = schema(factory)
    for name in options:
        if name not in known:
            raise UsageError(f"{what} has no option {name!r}{did_you_mean(name, known)}")
    resolved: dict[str, Any] = {}
    for name, parameter in known.items():
        if name not in options:
            if parameter.default is EMPTY:
                raise UsageError(f"{what} needs the option {name!r}")
            resolved[name] = parameter.default
            continue
        annotation = Any if parameter.annotation is EMPTY else parameter.annotation
        with wrap_plugin_errors(f"{what}, option {name!r}"):
            adapter: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(annotation)
        try:
            # JSON mode: a TOML array may stand for a tuple, everything else is strict.
            resolved[name] = adapter.validate_json(_json(options[name]), strict=True)
        except pydantic.ValidationError as error:
            said = message(error.errors()[0])
            raise UsageError(f"{what}, option {name!r}: {said}") from None
    require_plain(what, resolved)
    return resolved


def require_plain(what: str, options: Mapping[str, Any]) -> None:
    """Options become part of hashes and records. Raises ``PluginError`` if one has no JSON."""
    for name, value in options.items():
        try:
            canonical(value)
        except (TypeError, ValueError):
            raise PluginError(
                f"{what}, option {name!r}: {value!r} is neither a number, nor text, nor a list or "
                "a table of them"
            ) from None


def _keywords(factory: Callable[..., Any]) -> list[inspect.Parameter]:
    parameters = inspect.signature(factory, eval_str=True).parameters.values()
    return [p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]


def _is_group(parameter: inspect.Parameter) -> bool:
    return isinstance(parameter.annotation, type) and dataclasses.is_dataclass(parameter.annotation)


def _fields(group: inspect.Parameter) -> Iterator[inspect.Parameter]:
    """The fields of a group as parameters, with types resolved."""
    types = typing.get_type_hints(group.annotation, include_extras=True)
    for field in dataclasses.fields(group.annotation):
        if not field.init:
            continue
        default = EMPTY
        if group.default is not EMPTY:
            default = getattr(group.default, field.name)
        elif field.default is not dataclasses.MISSING:
            default = field.default
        elif field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        yield inspect.Parameter(
            field.name, group.kind, default=default, annotation=types[field.name]
        )


def _json(value: Any) -> str:
    import json

    # A TOML date has no JSON: as text it meets the same refusal as any other wrong type.
    return json.dumps(value, default=str)


def _named(factory: Any) -> str:
    name = getattr(factory, "__qualname__", type(factory).__qualname__)
    return f"{getattr(factory, '__module__', '?')}.{name}"
