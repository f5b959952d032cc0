"""Numbers over seeds → the text of one cell."""

from __future__ import annotations

import math
from collections.abc import Iterable

from genbench.analysis.columns import Quantity
from genbench.analysis.document import Cell
from genbench.analysis.statistics import Summary

MISSING = "—"
SIGNIFICANT = 3
MAX_DECIMALS = 5
LARGE = 1e9
"""From here on a number without a unit stands as ``1.44e+28``."""
_PREFIXES = ("", "k", "M", "G", "T", "P", "E", "Z")
_FRACTIONS = ("", "m", "µ", "n")


def cell(column: Quantity, summary: Summary, decimals: int) -> Cell:
    """Mean ± standard deviation; the median and "k of n" where a run gave no value."""
    if summary.mean is not None:
        return Cell(quantity(column, summary.mean, summary.deviation, decimals), summary.mean)
    count = f"({summary.k} of {summary.n})"
    if summary.median is None:
        return Cell(f"{MISSING} {count}")
    median = quantity(column, summary.median, None, decimals)
    return Cell(f"median {median} {count}", summary.median)


def column_decimals(column: Quantity, values: Iterable[float]) -> int:
    """The column's own decimals, or what gives its median magnitude three significant digits."""
    if column.decimals is not None:
        return column.decimals
    sizes = sorted(abs(v) for v in values if v and math.isfinite(v))
    return _decimals(sizes[len(sizes) // 2]) if sizes else SIGNIFICANT


def quantity(column: Quantity, value: float, deviation: float | None, decimals: int) -> str:
    """``0.064 ± 0.005``, ``482 k``, ``6.90 ± 0.12 ms``: both numbers at the same decimals.

    A deviation of exactly zero is of a number that no seed touches, and left out.
    """
    if column.unit is None:
        return _pair(value, deviation, decimals)
    scale, unit = _scale(value, column.unit)
    value /= scale
    if deviation is not None:
        deviation /= scale
    whole = not unit and value.is_integer()
    text = _pair(value, deviation, 0 if whole else min(_decimals(value), SIGNIFICANT - 1))
    return f"{text} {unit}".rstrip()


def amount(value: float, unit: str) -> str:
    """A quantity that stands in no column: ``482 k``, ``6.90 ms``; units as in ``Quantity``."""
    return quantity(Quantity("", "", "", unit=unit), value, None, 0)


def duration(seconds: float) -> str:
    """``40 s``, ``5 min``, ``3.2 h``, ``12 days``."""
    for size, word in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.2g} {word}" if size > 60 else f"{seconds / size:.0f} {word}"
    return f"{seconds:.0f} s"


def number(value: float | None) -> str:
    """To four significant digits; a dash where there is none."""
    return MISSING if value is None else f"{value:.4g}"


def _pair(value: float, deviation: float | None, decimals: int) -> str:
    large = max(abs(value), deviation or 0) >= LARGE
    form = f".{SIGNIFICANT}g" if large else f",.{decimals}f"
    text = format(value, form)
    return text if not deviation else f"{text} ± {format(deviation, form)}"


def _decimals(size: float) -> int:
    if size == 0:
        return 0
    return max(0, min(MAX_DECIMALS, SIGNIFICANT - 1 - math.floor(math.log10(abs(size)))))


def _scale(value: float, unit: str) -> tuple[float, str]:
    size = abs(value)
    if unit == "s":
        power = 0 if size >= 1 or size == 0 else math.ceil(-math.log10(size) / 3)
        power = min(power, len(_FRACTIONS) - 1)
        return 1000.0**-power, f"{_FRACTIONS[power]}s"
    power = 0 if size < 1000 else min(math.floor(math.log10(size) / 3), len(_PREFIXES) - 1)
    return 1000.0**power, _PREFIXES[power]
