"""``torch.compile`` for the networks of a model: whether it works here, and what it is applied to.

A network is compiled in place, and of it only ``forward``: its hooks, the wrappers of devices and
precision around it and the names in its ``state_dict`` stay as they are, so that weights go from
compiled networks to eager ones and back.
"""

from __future__ import annotations

import copy
import logging
import os
import shlex
import shutil
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import torch
from torch import nn

from genbench import store
from genbench.api import GenerativeModel
from genbench.api.errors import UsageError

INDUCTOR = "inductor"
"""The folder of the cache in which torch keeps the code that it has generated."""
_CACHE = "TORCHINDUCTOR_CACHE_DIR"

Backend: TypeAlias = str | Callable[..., Any]
"""Of ``torch.compile``."""

_purpose: str | None = None


class CompiledForward:
    """In place of a network's ``forward``: the same function, compiled at its first call for inputs
    of a kind. What torch cannot compile as one graph is an error and never runs as it is."""

    def __init__(self, eager: Callable[..., Any], backend: Backend) -> None:
        self.eager = eager
        """The network's own ``forward``."""
        self.backend = backend
        self._compiled = torch.compile(eager, backend=backend, fullgraph=True)

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        return self._compiled(*inputs, **named)

    def __deepcopy__(self, memo: dict[int, Any]) -> CompiledForward:
        """Of the copied network: a compiled function is bound to one."""
        return CompiledForward(copy.deepcopy(self.eager, memo), self.backend)

    def __reduce__(self) -> tuple[Any, ...]:
        return CompiledForward, (self.eager, self.backend)


def compile_networks(
    networks: Iterable[nn.Module], purpose: str | None = None, *, backend: Backend = "inductor"
) -> None:
    """Compile the players of a model; of a wrapped one, what is in the wrapper.

    Torch keeps what it compiled by the code of a network, over all networks of a process, and what
    it makes of an input depends on the shapes that came before. Here that begins anew unless the
    last call had the same ``purpose``, so that the numbers do not depend on what the process did
    earlier. What the caller has compiled is then compiled again too, at its next call.
    """
    global _purpose
    _keep_code_private()
    _quiet()
    if purpose is None or purpose != _purpose:
        torch.compiler.reset()
    _purpose = purpose
    for network in networks:
        if compiled_forward(network) is None:
            vars(network)["forward"] = CompiledForward(network.forward, backend)


def compiled_forward(network: nn.Module) -> CompiledForward | None:
    """The compiled ``forward`` of a network, if it has one."""
    found = vars(network).get("forward")
    return found if isinstance(found, CompiledForward) else None


def require_compiler(device: str) -> None:
    """Raises ``UsageError`` if torch cannot compile for ``device``, ``cpu`` or ``cuda``, here."""
    if (reason := _missing(device)) is not None:
        raise UsageError(f"compile: {reason}; train without it")


def require_compilable(what: str, model: GenerativeModel) -> None:
    """Raises ``UsageError`` if ``model``, named ``what``, says that it cannot be compiled."""
    if reason := getattr(model, "eager_only", ""):
        raise UsageError(f"{what} cannot be compiled: {reason}; set compile = false for it")


def _keep_code_private() -> None:
    """What torch generates goes into genbench's cache, unless the user has named a place: torch's
    own, among the temporary files, can be guessed by every user of the machine."""
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    folder = store.cache_path(INDUCTOR)
    # Torch's own stands there too, once anything has imported the module.
    if folder is not None and os.environ.get(_CACHE) in (
        None,
        os.path.abspath(default_cache_dir()),
    ):
        os.environ[_CACHE] = str(folder.absolute())


def _quiet() -> None:
    """Without what torch says that no user can act on: that there is a compiler of CUDA and no GPU;
    and that it has looked whether an input of a network has a gradient of its own."""
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf")


def _missing(device: str) -> str | None:
    from torch._dynamo.eval_frame import is_dynamo_supported
    from torch.utils._triton import has_triton

    if not is_dynamo_supported():
        return "torch.compile does not support this Python"
    if device == "cuda":
        return None if has_triton() else "torch.compile finds no Triton for this GPU"
    # As torch chooses it.
    given = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(shlex.split(given)[0]) is None:
        return (
            f"torch.compile needs a C++ compiler, and there is no {given} here (CXX names another)"
        )
    return None
