"""The processes that share one job: what one does for all, and how they stay in step."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor
from torch.nn.functional import pad

from genbench.api.errors import PLUGIN_EXCEPTIONS, GenbenchError, one_line

if TYPE_CHECKING:
    from lightning_fabric import Fabric

T = TypeVar("T")

SETTLE_TIMEOUT = timedelta(seconds=30)
"""How long a rank that has failed waits for the others to fail likewise."""

CONTROL_TIMEOUT = timedelta(days=7)
"""How long ranks wait for what rank 0 does alone: reading a data set, computing a metric."""


class OutOfStep(GenbenchError):
    """One rank has failed where the others have not: the job cannot go on."""


class Ranks:
    """One of several processes that run the same code in the same order; or one that is alone, for
    which everything here costs nothing. It is a ``genbench.api.ranks.Ranks``."""

    def __init__(self, fabric: Fabric | None = None) -> None:
        """``fabric``: what connects them; ``None``: alone, on whatever device."""
        self._fabric = fabric
        self.rank, self.world = 0, 1
        self._control: torch.distributed.ProcessGroup | None = None
        if fabric is not None:
            # Fabric announces every process group.
            logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
            fabric.launch()
            self.rank, self.world = fabric.global_rank, fabric.world_size
        if self.world > 1:
            self._control = _control_group()

    @property
    def fabric(self) -> Fabric:
        assert self._fabric is not None, "alone, without a fabric"
        return self._fabric

    def on_rank_zero(self, function: Callable[[], T]) -> T:
        """What ``function`` returns, or raises, on rank 0, where alone it runs."""
        if self.world == 1:
            return function()
        if self.rank > 0:
            value, error = self.broadcast(None)
            if error is not None:
                raise error
            return cast(T, value)
        try:
            value = function()
        except PLUGIN_EXCEPTIONS as error:
            ours = isinstance(error, GenbenchError)
            self.broadcast((None, error if ours else GenbenchError(one_line(error))))
            raise
        self.broadcast((value, None))
        return value

    def broadcast(self, message: Any) -> Any:
        """``message`` of rank 0, on every rank."""
        told = [message]
        torch.distributed.broadcast_object_list(told, 0, group=self._control)
        return told[0]

    def rows(self, part: Tensor, most: int) -> Iterator[Tensor]:
        """Every rank's ``(n, …)``, n ≤ ``most``, in the order of the ranks, padded to ``most`` rows
        with zeros."""
        if self.world == 1:
            yield part
            return
        yield from gather(self.fabric, pad(part, [*[0, 0] * (part.ndim - 1), 0, most - len(part)]))

    def barrier(self, error: BaseException) -> None:
        """For a rank whose work has raised: wait until every rank's has, after which they may go on
        together. Raises ``OutOfStep`` where one has not: it waits elsewhere, for this one."""
        if isinstance(error, OutOfStep):
            raise error
        if self._control is None:
            return
        try:
            torch.distributed.monitored_barrier(self._control, timeout=SETTLE_TIMEOUT)
        except RuntimeError:
            raise OutOfStep(
                f"rank {self.rank} of {self.world} failed alone: {one_line(error)}"
            ) from error

    def close(self) -> None:
        """Part from the others. Left to the interpreter's exit, gloo's threads may abort a process
        that has succeeded."""
        if self._control is not None:
            torch.distributed.barrier(self._control)
            torch.distributed.destroy_process_group()


def gather(fabric: Fabric, part: Tensor) -> Tensor:
    """Every rank's tensor of one shape: ``(world, *shape)``."""
    if fabric.world_size == 1:
        return part[None]
    parts = [torch.empty_like(part) for _ in range(fabric.world_size)]
    torch.distributed.all_gather(parts, part.contiguous())
    return torch.stack(parts)


@cache
def _control_group() -> torch.distributed.ProcessGroup:
    """Of its own, on the CPU: waiting for rank 0 must neither time out nor keep a device busy."""
    group = torch.distributed.new_group(backend="gloo", timeout=CONTROL_TIMEOUT)
    return cast(torch.distributed.ProcessGroup, group)


ALONE = Ranks()
