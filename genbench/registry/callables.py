"""Factories that nobody registered: a Python function or class named as an entry's model.

One that can be imported again is named ``module:name`` and found by import, its file's hash its
identity. One of a notebook or of the running script travels to other processes of this machine by
cloudpickle, in memory only; its identity is its source and what it closes over.
"""

from __future__ import annotations

import importlib
import inspect
import types
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from genbench.api.errors import PluginError, UsageError, did_you_mean, one_line
from genbench.registry.code import code_of
from genbench.store import canonical, fingerprint

MAIN = "__main__"


@dataclass(frozen=True)
class PickledFactory:
    """A factory on its way to another process."""

    name: str
    """The name that entries use, ``__main__:my_factory`` for example, or that was registered."""
    code: str
    """Its identity."""
    data: bytes
    """By cloudpickle."""
    kind: str = "model"
    """The registry's."""


def name_of(factory: Callable[..., Any]) -> str:
    """``module:name``. Raises ``UsageError`` for what has no name, as a partial or an instance, and
    for a lambda: two of one line have one source."""
    name = getattr(factory, "__qualname__", "<lambda>")
    named = inspect.isfunction(factory) or inspect.isclass(factory)
    if not named or name.endswith("<lambda>"):
        raise UsageError(
            f"{factory!r} is neither a class nor a function with a name: write a function that "
            "builds the model"
        )
    return f"{factory.__module__}:{name}"


def is_importable(factory: Callable[..., Any]) -> bool:
    """Whether another process finds the same object by its name."""
    if factory.__module__ == MAIN or "<locals>" in factory.__qualname__:
        return False
    try:
        return imported(name_of(factory)) is factory
    except (PluginError, UsageError):
        return False


def imported(name: str) -> Any:
    """The object that ``module:name`` names. Raises ``UsageError`` if there is no such module or
    name, ``PluginError`` if the module cannot be imported."""
    module, _, path = name.partition(":")
    try:
        value: Any = importlib.import_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a script that was never meant to be imported may exit
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            raise UsageError(f"model {name!r}: there is no module {error.name!r}") from None
        raise PluginError(f"model {name!r} cannot be imported: {one_line(error)}") from error
    for part in path.split("."):
        if not hasattr(value, part):
            near = did_you_mean(part, [known for known in dir(value) if known[0] != "_"])
            raise UsageError(f"model {name!r}: {module} has no {part!r}{near}")
        value = getattr(value, part)
    return value


def pickled(factory: Callable[..., Any]) -> PickledFactory:
    """Raises ``UsageError`` if its source cannot be read, or it cannot be pickled."""
    name = name_of(factory)
    code = fingerprint(sorted(set(_facts(factory, name, set()))))
    return sent(factory, name, code, "model")


def sent(value: Any, name: str, code: str, kind: str) -> PickledFactory:
    """What is registered under ``name``, on its way. Raises ``UsageError`` if it cannot be
    pickled."""
    import cloudpickle

    try:
        return PickledFactory(name, code, cloudpickle.dumps(value), kind)
    except Exception as error:  # whatever a value that it closes over raises
        raise UsageError(
            f"{kind} {name!r} cannot travel to another process ({one_line(error)}): put it into a "
            "file, and import it from there or name the file in plugins=[...]"
        ) from error


def unpickled(factory: PickledFactory) -> Any:
    import cloudpickle

    return cloudpickle.loads(factory.data)


def _facts(value: Any, name: str, seen: set[int]) -> Iterator[str]:
    """What determines a factory: its source, and the source of everything that it refers to."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, types.ModuleType):
        yield f"module {value.__name__}"
    elif inspect.isfunction(value) or inspect.isclass(value):
        if is_importable(value):
            yield f"{name_of(value)} {_hash_of(value.__module__)}"
            return
        yield _source(value, name)
        for constant, held in vars(value).items() if inspect.isclass(value) else ():
            if not constant.startswith("__"):  # it may come from a function around the class
                with suppress(TypeError, ValueError):
                    yield f"{constant} = {canonical(held)}"
        for inner in _referred(value):
            yield from _facts(inner, name, seen)
    else:
        yield _plain(value, name)


def _source(value: Any, name: str) -> str:
    try:
        return inspect.getsource(value)
    except (OSError, TypeError):
        raise UsageError(
            f"the source of model {name!r} cannot be read: put it into a file and import it "
            "from there"
        ) from None


def _hash_of(module: str) -> str:
    try:
        return code_of(module, module).identity
    except UsageError:
        return "no source"  # built in, or compiled


def _referred(value: Any) -> Iterator[Any]:
    functions = [value]
    if inspect.isclass(value):
        yield from (base for base in value.__bases__ if base is not object)
        members = (getattr(m, "__func__", getattr(m, "fget", m)) for m in vars(value).values())
        functions = [member for member in members if inspect.isfunction(member)]
    for function in functions:
        for cell in function.__closure__ or ():
            yield cell.cell_contents
        yield from (function.__defaults__ or ())
        yield from (function.__kwdefaults__ or {}).values()
        names = _names(function.__code__)
        yield from (function.__globals__[n] for n in sorted(names & function.__globals__.keys()))


def _names(code: types.CodeType) -> set[str]:
    """The global names that a function and those within it may read."""
    inner = (_names(part) for part in code.co_consts if isinstance(part, types.CodeType))
    return set(code.co_names).union(*inner)


def _plain(value: Any, name: str) -> str:
    import cloudpickle

    try:
        return canonical(value)
    except (TypeError, ValueError):
        pass
    try:
        return fingerprint(cloudpickle.dumps(value).hex())
    except Exception as error:
        raise UsageError(
            f"model {name!r} closes over {type(value).__name__}, which has no name that lasts: "
            "put it into a file and import it from there"
        ) from error
