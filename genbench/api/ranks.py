"""The processes that share one job, as far as a stored result needs to know them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Ranks(Protocol):
    """Processes that run the same code in the same order; or one that is alone."""

    def on_rank_zero(self, function: Callable[[], T]) -> T:
        """What ``function`` returns, or raises, on rank 0, where alone it runs."""
        ...

    def barrier(self, error: BaseException) -> None:
        """For a rank whose work has raised: wait until every rank's has. Raises a ``GenbenchError``
        if one has not."""
        ...
