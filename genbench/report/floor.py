"""Where the real row stands beside entries: it never stretches the scale that tells them apart."""

from __future__ import annotations

REACH = 0.35
"""How far the real row may lie beyond the entries, in parts of their range, and still be drawn
where it is."""


def within_reach(floor: float, low: float, high: float) -> bool:
    """Whether the scale from ``low`` to ``high`` may be stretched to hold ``floor``; all three in
    logarithms where the scale is logarithmic."""
    return clamped(floor, low, high) == floor


def clamped(floor: float, low: float, high: float) -> float:
    """The place nearest to ``floor`` that does not stretch the scale too far."""
    room = REACH * ((high - low) or abs(high) or 1.0)
    return min(max(floor, low - room), high + room)


def place_of(floor: float, low: float, high: float) -> str:
    """``below`` or ``above`` the scale, or an empty string on it."""
    return "below" if floor < low else "above" if floor > high else ""
