"""What a running stage reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class ProgressEvent:
    """What a running stage tells the screen."""

    stage: str
    """``train``, ``sample``, ``score``, …"""
    done: int
    total: int
    loss: float | None = None
    rate: float | None = None
    """Samples a second."""
    note: str | None = None
    """What a user should read, in a line of its own."""


ProgressCallback: TypeAlias = Callable[[ProgressEvent], None]

ENDINGS = ("done", "diverged", "failed", "skipped")
"""How a run ends: a record's status, and the stage of a job's last event."""
