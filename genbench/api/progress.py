"""Progress of a running stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class ProgressEvent:
    """One report of a running stage."""

    stage: str
    """``train``, ``sample``, ``score``, …"""
    done: int
    total: int
    loss: float | None = None
    rate: float | None = None
    """Samples a second."""
    note: str | None = None
    """A message for the user, shown on a separate line."""


ProgressCallback: TypeAlias = Callable[[ProgressEvent], None]

ENDINGS = ("done", "diverged", "failed", "skipped")
"""How a run ends: a record's status, and the stage of a job's last event."""
