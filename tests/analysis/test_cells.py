"""Numbers of tables as texts."""

from __future__ import annotations

import pytest

from genbench.analysis.cells import column_decimals, quantity
from genbench.analysis.columns import Quantity

SCORE = Quantity("score", "score", "fidelity")


@pytest.mark.parametrize(
    ("value", "deviation", "text"),
    [
        (0.0642, 0.0051, "0.0642 ± 0.0051"),
        (0.0642, 0.0, "0.0642"),
        (12_345.6, 7.0, "12,346 ± 7"),
        (999_999_999.0, None, "999,999,999"),
        (1.44111e28, None, "1.44e+28"),
        (-1.44111e28, 3.278e26, "-1.44e+28 ± 3.28e+26"),
    ],
)
def test_a_score_has_three_significant_digits_and_room(
    value: float, deviation: float | None, text: str
) -> None:
    assert quantity(SCORE, value, deviation, column_decimals(SCORE, [value])) == text
