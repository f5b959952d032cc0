"""What the loop saw, turn by turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from genbench.api import Progress

if TYPE_CHECKING:
    import pandas as pd


COLUMNS = ("step", "examples", "player", "loss", "gradient_norm", "learning_rate")
"""Of every row; diagnostics come after them."""


class History:
    """One row a turn: ``COLUMNS`` and the turn's diagnostics. ``step`` and ``examples`` are those
    before the step."""

    def __init__(self, rows: list[dict[str, Any]] | None = None) -> None:
        self.rows = rows if rows is not None else []

    def add(
        self,
        progress: Progress,
        player: str,
        *,
        loss: float,
        gradient_norm: float,
        learning_rate: float,
        diagnostics: Mapping[str, float],
    ) -> None:
        self.rows.append(
            {
                "step": progress.step,
                "examples": progress.examples,
                "player": player,
                "loss": loss,
                "gradient_norm": gradient_norm,
                "learning_rate": learning_rate,
                **diagnostics,
            }
        )

    def frame(self) -> pd.DataFrame:
        """A column a name; NaN where a turn had no such diagnostic."""
        import pandas as pd

        extra = {name: None for row in self.rows for name in row if name not in COLUMNS}
        return pd.DataFrame(self.rows, columns=[*COLUMNS, *extra])
