"""What some samples scored, with the protocol behind every number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from genbench.api import Estimate, Output
from genbench.store.protocol import lines, protocol_differences

if TYPE_CHECKING:
    import pandas as pd


def finite(values: Mapping[str, Estimate]) -> tuple[dict[str, Estimate], dict[str, str]]:
    """By output name, those of ``values`` that are numbers, and why the others are skipped: their
    note, if the metric gives one."""
    lost = {
        name: e.note or f"{name} is {e.value}"
        for name, e in values.items()
        if not isfinite(e.value)
    }
    return {name: value for name, value in values.items() if name not in lost}, lost


@dataclass(frozen=True, repr=False)
class Scores:
    """What some samples scored. Its ``repr`` is a table with the protocol below."""

    values: Mapping[str, Estimate]
    """By output name."""
    skipped: Mapping[str, str]
    """Outputs without a score → the reason why."""
    outputs: Mapping[str, Output]
    """By output name: the metric's description of it."""
    protocol: Mapping[str, Any]
    faults: Sequence[str] = ()
    """The outputs in ``skipped`` whose metric failed; another try may give them."""
    remarks: Sequence[str] = ()
    """What a reader must know of how the samples were read, a line each."""

    def to_frame(self) -> pd.DataFrame:
        """Columns ``metric, value, low, high``: the ends of the 95 % interval, or NaN."""
        import pandas as pd

        rows = [(name, e.value, e.low, e.high) for name, e in self.values.items()]
        frame = pd.DataFrame(rows, columns=["metric", "value", "low", "high"])
        return frame.astype({"value": float, "low": float, "high": float})

    def differences(self, other: Scores) -> list[str]:
        """The reasons why these scores cannot be compared with ``other``'s, a line each, as in
        ``samples: 500 against 1000``. Empty if the protocols are equal."""
        return protocol_differences(self.protocol, other.protocol)

    @property
    def notes(self) -> list[str]:
        """Cautions for the reader, a line each."""
        said = [f"{name}: {e.note}" for name, e in self.values.items() if e.note is not None]
        return [*self.remarks, *said]

    def __repr__(self) -> str:
        width = max(map(len, [*self.values, *self.skipped]), default=0)
        rows = []
        for name, estimate in self.values.items():
            line = f"{name:<{width}}  {estimate.value:.6g}"
            rows.append(f"{line}  {estimate.interval}".rstrip())
        rows += [f"{name:<{width}}  -  ({reason})" for name, reason in self.skipped.items()]
        return "\n".join([*rows, "", *self.notes, *lines(self.protocol)])
