"""Loggers: a training's curves, live, and then its scores, in a user's own tools.

The loop and the runner call ``log``; ``tool`` runs one logger in a separate thread. Every other
module is named as its logger, and has a function ``start(run)`` that starts or continues the run of
a training. It returns a Fabric ``Logger`` and, for each key, the last step that the tool already
has. Importing this package imports none of the tools, and no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from genbench.api.errors import UnknownName, UsageError
from genbench.loggers.log import SILENT, Log
from genbench.loggers.tool import LoggedRun

LOGGERS = {"csv": None, "mlflow": "mlflow", "tensorboard": "tensorboard", "wandb": "wandb"}
"""By name: the package that the logger needs, which also is the name of the extra."""

__all__ = ["LOGGERS", "SILENT", "Log", "LoggedRun", "chosen"]


def chosen(names: Sequence[str]) -> tuple[str, ...]:
    """The loggers of these names, each once.

    Raises ``UnknownName``; ``UsageError`` if a package is not installed, or if a logger would have
    to ask the user something.
    """
    for name in names:
        if name not in LOGGERS:
            raise UnknownName("logger", name, LOGGERS)
        package = LOGGERS[name]
        if package is not None and not _is_installed(package):
            raise UsageError(
                f"--logger {name} needs the package {package}: pip install 'genbench[{name}]'"
            )
    if "wandb" in names:
        _require_key()
    return tuple(dict.fromkeys(names))


def _require_key() -> None:
    """Checked before the training starts, since wandb would ask for the key during it. Its service
    is not started here: one service for all processes would not let a process continue the run of
    another one that has died."""
    import wandb
    from wandb.sdk.wandb_setup import singleton

    if singleton().settings.mode != "online":
        return
    try:
        has_key = wandb.login(verify=False, prompt=False)
    except TypeError:
        raise UsageError("wandb is too old: pip install -U 'genbench[wandb]'") from None
    if not has_key:
        raise UsageError("--logger wandb: no key; run wandb login, or set WANDB_MODE=offline")


def _is_installed(package: str) -> bool:
    """A folder of that name in the working directory, as wandb leaves one, is none: it has no
    origin."""
    spec = find_spec(package)
    return spec is not None and spec.origin is not None
