"""A factory's signature is its schema: options checked against it, and told of in one line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from genbench.api.errors import UsageError, did_you_mean
from genbench.registry.faults import PluginError, wrap_plugin_errors
from genbench.store import canonical


def schema(factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The options of a factory or of ``sample``: its keyword-only parameters, types resolved.

    Raises ``PluginError`` where they cannot be: a type that is imported for type checkers alone.
    """
    with wrap_plugin_errors(f"the signature of {_named(factory)} cannot be read"):
        parameters = inspect.signature(factory, eval_str=True).parameters.values()
    return {p.name: p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


def check_options(
    what: str, factory: Callable[..., Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Every option of ``factory``: those given, with their types checked, and the defaults.

    ``what`` names the owner in messages (``model 'ddpm'``). Raises ``UsageError`` for an unknown
    option (with the nearest one), a wrong type or value, or a missing one; ``PluginError`` where
    the signature is at fault.
    """
    import pydantic

    known = schema(factory)
    for name in options:
        if name not in known:
            raise UsageError(f"{what} has no option {name!r}{did_you_mean(name, known)}")
    resolved: dict[str, Any] = {}
    for name, parameter in known.items():
        if name not in options:
            if parameter.default is inspect.Parameter.empty:
                raise UsageError(f"{what} needs the option {name!r}")
            resolved[name] = parameter.default
            continue
        annotation = Any if parameter.annotation is parameter.empty else parameter.annotation
        with wrap_plugin_errors(f"{what}, option {name!r}"):
            adapter: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(annotation)
        try:
            # JSON mode: a TOML array may stand for a tuple, everything else is strict.
            resolved[name] = adapter.validate_json(_json(options[name]), strict=True)
        except pydantic.ValidationError as error:
            message = error.errors()[0]["msg"]
            raise UsageError(
                f"{what}, option {name!r}: {message[0].lower()}{message[1:]}, got {options[name]!r}"
            ) from None
    require_plain(what, resolved)
    return resolved


def require_plain(what: str, options: Mapping[str, Any]) -> None:
    """Options stand in hashes and records. Raises ``PluginError`` where one has no JSON."""
    for name, value in options.items():
        try:
            canonical(value)
        except (TypeError, ValueError):
            raise PluginError(
                f"{what}, option {name!r}: {value!r} is neither a number, nor text, nor a list or "
                "a table of them"
            ) from None


def _json(value: Any) -> str:
    import json

    # A TOML date has no JSON: as text it meets the same refusal as any other wrong type.
    return json.dumps(value, default=str)


def _named(factory: Any) -> str:
    name = getattr(factory, "__qualname__", type(factory).__qualname__)
    return f"{getattr(factory, '__module__', '?')}.{name}"
