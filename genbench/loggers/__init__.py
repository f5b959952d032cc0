"""Trainings as they show in a user's own tools: their curves live, then their scores.

``log`` is what the loop and the runner speak to, ``tool`` one logger in a thread of its own. The
other modules have the name of a logger each, and a function ``start(run)`` that begins or takes up
the run of a training: it returns a Fabric ``Logger``, and the last step that the tool holds of each
key. Importing this package imports none of the tools, and no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from genbench.api.errors import UnknownName, UsageError
from genbench.loggers.log import SILENT, Log
from genbench.loggers.tool import LoggedRun

LOGGERS = {"csv": None, "mlflow": "mlflow", "tensorboard": "tensorboard", "wandb": "wandb"}
"""By name: the package that it needs, which is the name of the extra too."""

__all__ = ["LOGGERS", "SILENT", "Log", "LoggedRun", "chosen"]


def chosen(names: Sequence[str]) -> tuple[str, ...]:
    """The loggers of these names, each once.

    Raises ``UnknownName``; ``UsageError`` where the package of one is not installed, or it cannot
    start without asking something.
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
    """Before a training is there, in whose midst wandb would ask for it. Its service is not started
    here: it would serve every process, and not let one take up the run of another that has died."""
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
