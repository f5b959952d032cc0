"""The processes that share one job: work of rank 0 for all, and synchronisation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor
from torch.nn.functional import pad

from genbench.api.errors import GenbenchError, one_line
from genbench.store import CannotWrite

if TYPE_CHECKING:
    from lightning_fabric import Fabric

T = TypeVar("T")

SETTLE_TIMEOUT = timedelta(seconds=30)
"""How long a failed rank waits for the others to fail too."""

CONTROL_TIMEOUT = timedelta(days=7)
"""How long ranks wait for work that rank 0 does alone, such as reading a data set or computing a
metric."""


class OutOfStep(GenbenchError):
    """One rank has failed and the others have not, so that the job cannot continue."""


class Ranks:
    """One of several processes that run the same code in the same order; or a single process, for
    which every method returns at once. It is a ``genbench.api.execution.Ranks``."""

    def __init__(self, fabric: Fabric | None = None) -> None:
        """``fabric``: what connects them; ``None``: alone, on whatever device."""
        self._fabric = fabric
        self.rank, self.world = 0, 1
        self._control: torch.distributed.ProcessGroup | None = None
        if fabric is not None:
            fabric.launch()
            self.rank, self.world = fabric.global_rank, fabric.world_size
        if self.world > 1:
            self._control = _control_group()

    @property
    def fabric(self) -> Fabric:
        assert self._fabric is not None, "alone, without a fabric"
        return self._fabric

    def on_rank_zero(self, function: Callable[[], T]) -> T:
        """What ``function`` returns or raises on rank 0; it runs on no other rank."""
        if self.world == 1:
            return function()
        if self.rank > 0:
            value, error = self.broadcast(None)
            if error is not None:
                raise error
            return cast(T, value)
        try:
            value = function()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
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
        """Called on a rank whose work has raised: wait until every rank's work has raised, so that
        they can continue together. Raises ``OutOfStep`` if one has not, which then waits elsewhere
        for this rank."""
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
        """Leave the process group. At the interpreter's exit, gloo's threads could abort a process
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
    """A separate process group on the CPU: waiting for rank 0 must neither time out nor keep a
    device busy."""
    group = torch.distributed.new_group(backend="gloo", timeout=CONTROL_TIMEOUT)
    return cast(torch.distributed.ProcessGroup, group)


ALONE = Ranks()


@dataclass(frozen=True)
class Fault:
    """What a plugin has raised."""

    error: BaseException


def attempt(ranks: Ranks, compute: Callable[[], T]) -> T | Fault:
    """What ``compute`` returns; or its ``Fault``, whatever it raises, once every rank has raised.

    Raises what costs more than the rows concerned: the store's ``CannotWrite``, ``OutOfStep``, and
    an interrupt.
    """
    try:
        return compute()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if isinstance(error, CannotWrite) and error.path is not None:
            raise  # rank 0 writes alone: it does not wait for the others, whose end this is too
        ranks.barrier(error)
        return Fault(error)
