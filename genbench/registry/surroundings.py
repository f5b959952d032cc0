"""What a plugin may change of the process that it runs in, put back."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SETTINGS = {
    "get_default_dtype": "set_default_dtype",
    "is_grad_enabled": "set_grad_enabled",
    "get_num_threads": "set_num_threads",
    "get_float32_matmul_precision": "set_float32_matmul_precision",
    "are_deterministic_algorithms_enabled": "use_deterministic_algorithms",
}
"""Of torch, which decide numbers: what reads one, and what sets it."""


@contextmanager
def kept_surroundings() -> Iterator[None]:
    """Around plugins' code in a process that goes on afterwards: its working folder, environment,
    filters of warnings and settings of torch are put back."""
    folder, environment = os.getcwd(), dict(os.environ)
    try:
        with warnings.catch_warnings(), kept_torch():
            yield
    finally:
        os.chdir(folder)
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)


@contextmanager
def kept_torch() -> Iterator[None]:
    """Around plugins' code: the settings of torch, its default device and the hooks of every module
    are put back. Costs no import of torch."""
    torch: Any = sys.modules.get("torch")
    if torch is None:
        try:
            yield
        finally:
            torch = sys.modules.get("torch")
            if torch is not None:  # a new process has these
                torch.set_default_dtype(torch.float32)
                torch.set_grad_enabled(True)
                torch.set_default_device(None)
                for hooks in _hooks().values():
                    hooks.clear()
        return
    settings = {setter: getattr(torch, getter)() for getter, setter in SETTINGS.items()}
    device = torch.get_default_device()
    hooks_before = {name: dict(hooks) for name, hooks in _hooks().items()}
    try:
        yield
    finally:
        for setter, value in settings.items():
            getattr(torch, setter)(value)
        if torch.get_default_device() != device:
            # Not set, it is the CPU; set to the CPU, it would slow every call down.
            torch.set_default_device(None if device.type == "cpu" else device)
        for name, hooks in _hooks().items():
            hooks.clear()
            hooks.update(hooks_before[name])


def _hooks() -> dict[str, dict[int, Any]]:
    """Those of all modules, by the name of their kind."""
    from torch.nn.modules import module

    return {
        name: value
        for name, value in vars(module).items()
        if name.startswith("_global_") and isinstance(value, dict)
    }
