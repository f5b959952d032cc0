"""The processes that share one job, as far as a stored result needs to know them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Ranks(Protocol):
    """Processes that run the same code in the same order; or a single process."""

    def on_rank_zero(self, function: Callable[[], T]) -> T:
        """What ``function`` returns or raises on rank 0; it runs on no other rank."""
        ...

    def barrier(self, error: BaseException) -> None:
        """Called on a rank whose work has raised: wait until every rank's work has raised. Raises a
        ``GenbenchError`` if one has not."""
        ...
