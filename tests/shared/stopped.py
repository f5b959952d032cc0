"""A training that is stopped in its middle, as by a signal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from genbench.training import checkpoint, loop


class Stop(Exception):
    pass


@contextmanager
def stopped_after(step: int) -> Iterator[None]:
    """The training within keeps a checkpoint after each step, and must not come past ``step``."""
    save = checkpoint.save_state

    def save_then_stop(folder: Path, state: dict[str, Any]) -> None:
        save(folder, state)
        if state["step"] == step:
            raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
        patch.setattr(loop, "CHECKPOINT_SHARE", math.inf)
        patch.setattr(checkpoint, "save_state", save_then_stop)
        with pytest.raises(Stop):
            yield
