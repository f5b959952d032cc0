"""A factory as another process finds it again."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class Source:
    """Where a function stands: its module, the module's file, and its name in there."""

    module: str
    file: str
    name: str

    def load(self) -> Callable[..., Any]:
        """The function. A module that Python does not find by its name, such as a script or a test,
        is run from its file."""
        function: Any = self._module()
        for part in self.name.split("."):
            function = getattr(function, part)
        return function  # type: ignore[no-any-return]

    def _module(self) -> ModuleType:
        try:
            module = importlib.import_module(self.module)
        except ImportError:
            module = None
        if module is not None and getattr(module, "__file__", None) == self.file:
            return module
        spec = importlib.util.spec_from_file_location(self.module, self.file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[self.module] = module
        spec.loader.exec_module(module)
        return module


def source_of(factory: Callable[..., Any]) -> Source | None:
    """Where ``factory`` stands; ``None`` for what another process cannot find: a lambda, a closure,
    a ``partial``, a function typed at a prompt."""
    name = getattr(factory, "__qualname__", "<none>")
    home = getattr(factory, "__module__", "")
    file = getattr(sys.modules.get(home), "__file__", None)
    if "<" in name or file is None:
        return None
    return Source(home, file, name)
