"""One comparison with a peer: both measured in the same run, on the same machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """What genbench and its peer measured, in the same unit."""

    what: str
    ours: float
    peer: float
    unit: str
    higher_is_better: bool
    target: float | None
    """Of ``ratio``; ``None`` where nothing was promised."""
    note: str = ""

    @property
    def ratio(self) -> float:
        """Ours over the peer's."""
        return self.ours / self.peer

    @property
    def reached(self) -> bool | None:
        """Whether ``ratio`` is on the right side of the target; ``None`` without a target."""
        if self.target is None:
            return None
        return self.ratio >= self.target if self.higher_is_better else self.ratio <= self.target
