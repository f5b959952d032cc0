"""The promise that all factories share: their signature is their schema."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from genbench.api.errors import UsageError
from genbench.registry import check_options, schema

OPTIONS = "are keyword-only and annotated, with valid defaults"


def wrong_options(
    function: Callable[..., Any], arguments: tuple[str, ...], chosen: Mapping[str, Any]
) -> str | None:
    """What breaks ``OPTIONS`` in a function, or ``None``.

    ``arguments``: what the harness passes by position. ``chosen``: options given, and valid.
    """
    parameters = inspect.signature(function).parameters.values()
    by_position = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(by_position) < len(arguments):
        return f"it does not take ({', '.join(arguments)}) by position"
    for extra in by_position[len(arguments) :]:
        return f"{extra.name!r} is not keyword-only, so that no suite can set it"
    options = schema(function)
    for name, parameter in options.items():
        if parameter.annotation is parameter.empty:
            return f"{name!r} has no annotation, so that a wrong value is not told"
    defaults = {name: p.default for name, p in options.items() if p.default is not p.empty}
    try:
        check_options("it", function, {**defaults, **chosen})
    except UsageError as error:
        return str(error)
    return None
