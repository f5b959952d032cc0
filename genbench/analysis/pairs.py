"""One score of two sets of runs: is the second better than the first, beyond the noise of seeds?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from genbench.analysis.document import Tone
from genbench.analysis.statistics import LEVEL, Difference, holm, welch

PairOutcome: TypeAlias = Literal["better", "worse", "within noise", "undecided"]
"""``within noise``: the difference may come from the seeds alone; with few seeds, a real one can be
hidden. ``undecided``: too few seeds, or runs without a score."""

TONES: Mapping[PairOutcome, Tone] = {
    "better": "good",
    "worse": "bad",
    "within noise": "faint",
    "undecided": "open",
}


@dataclass(frozen=True)
class Pair:
    """The values of both sets, one a run; ``None`` for a run that came to no score."""

    first: Sequence[float | None]
    second: Sequence[float | None]
    higher_is_better: bool


@dataclass(frozen=True)
class JudgedPair:
    """What became of one pair among others."""

    difference: Difference | None
    """The mean of the second less that of the first; ``None`` with one seed, or runs without a
    score."""
    adjusted_p: float | None
    """By Holm over all pairs that could be tested."""
    outcome: PairOutcome
    """Of the second against the first."""
    reason: str


def judged(pairs: Sequence[Pair], least: int = 2, others: Sequence[float] = ()) -> list[JudgedPair]:
    """Every pair: ``better`` or ``worse`` where the p-value of Welch's t-test over seeds, adjusted
    by Holm over all pairs and ``others``, the p-values of further tests of the same question, is
    under 1 - ``LEVEL`` and both sides have ``least`` runs; ``worse`` also where a larger share of
    the second's runs came to no score.

    Unlike the rank tests of a verdict this can tell with few seeds; it leans on scores that are
    near normal over seeds.
    """
    found = [_difference(pair) for pair in pairs]
    tested = [difference.p for difference in found if difference is not None]
    adjusted = iter(holm([*tested, *others]))
    made = []
    for pair, difference in zip(pairs, found, strict=True):
        p = None if difference is None else next(adjusted)
        made.append(JudgedPair(difference, p, *_outcome(pair, difference, p, least)))
    return made


def _difference(pair: Pair) -> Difference | None:
    first, second = complete(pair.first), complete(pair.second)
    if first is None or second is None or min(len(first), len(second)) < 2:
        return None
    return welch(second, first)


def _outcome(
    pair: Pair, difference: Difference | None, p: float | None, least: int
) -> tuple[PairOutcome, str]:
    counts = len(pair.first), len(pair.second)
    lost = [sum(value is None for value in values) for values in (pair.first, pair.second)]
    if lost[1] / counts[1] > lost[0] / counts[0]:
        said = [f"{count} of {n}" for count, n in zip(lost, counts, strict=True)]
        return "worse", f"{said[1]} runs have no score, {said[0]} on the other side"
    if any(lost):
        return "undecided", "runs without a score on both sides" if all(lost) else "fewer were lost"
    if difference is None or p is None or min(counts) < least:
        return "undecided", f"at least {least} seeds a side are needed"
    if p >= 1 - LEVEL:
        return "within noise", f"p = {p:.2g} after correction"
    better = (difference.value > 0) == pair.higher_is_better
    return "better" if better else "worse", f"p = {p:.2g} after correction"


def complete(values: Sequence[float | None]) -> list[float] | None:
    """The values, if every run came to one."""
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else None
