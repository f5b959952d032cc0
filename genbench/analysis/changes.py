"""Two sets of runs of the same entries: what got better or worse, beyond the noise of seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

from genbench.analysis.cells import MISSING, number
from genbench.analysis.document import Cell, Document, Section, Tone, text_table
from genbench.analysis.statistics import LEVEL, Difference, holm, welch
from genbench.api.errors import DataError, UnknownName
from genbench.store.protocol import protocol_differences
from genbench.store.records import Record

ChangeKind: TypeAlias = Literal["better", "worse", "within noise", "undecided"]


@dataclass(frozen=True)
class Change:
    """One score of one entry, before and after."""

    entry: str
    score: str
    before: float | None
    """Mean over seeds; ``None`` where a run has no score."""
    after: float | None
    difference: Difference | None
    """The mean after minus the mean before; ``None`` if it is unknown."""
    adjusted_p: float | None
    """By Holm over all changes that could be tested."""
    outcome: ChangeKind
    """``within noise``: the difference may come from the seeds alone; with few seeds, a real one
    can be hidden. ``undecided``: one seed, or runs without a score."""
    reason: str


@dataclass(frozen=True)
class Changes:
    """All changes, and the entries that only one side has."""

    changes: tuple[Change, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]

    @property
    def worse(self) -> bool:
        """Whether something got worse, or an entry is gone."""
        return bool(self.only_before) or any(c.outcome == "worse" for c in self.changes)


@dataclass(frozen=True)
class _Pair:
    """The runs of one entry on both sides, and the score that is compared."""

    entry: str
    score: str
    before: Sequence[float | None]
    after: Sequence[float | None]

    def difference(self) -> Difference | None:
        before, after = _all(self.before), _all(self.after)
        if before is None or after is None or min(len(before), len(after)) < 2:
            return None
        return welch(after, before)


def changes(
    before: Sequence[Record], after: Sequence[Record], scores: Sequence[str] = ()
) -> Changes:
    """Every entry that both sides have, in each of ``scores`` (without any: the suite's first).

    A change is ``better`` or ``worse`` where the p-value of Welch's t-test over seeds, adjusted by
    Holm over all changes, is under 1 - ``LEVEL``; ``worse`` also where a larger share of runs than
    before came to no score. Unlike the rank tests of a verdict this can tell with few seeds; it
    leans on scores that are near normal over seeds.

    Raises ``DataError`` where the sides share no entry, or their protocols differ; ``UnknownName``
    for a score that no run has.
    """
    ours, theirs = _by_entry(before), _by_entry(after)
    shared = [entry for entry in ours if entry in theirs]
    if not shared:
        raise DataError("the two have no entry in common")
    for entry in shared:
        _require_one_protocol(entry, [*ours[entry], *theirs[entry]])
    better = {
        name: output.higher_is_better
        for side in (ours, theirs)
        for runs in side.values()
        for run in runs
        for name, output in run.outputs.items()
    }
    for score in scores:
        if score not in better:
            raise UnknownName("score", score, better)
    pairs = [
        _Pair(entry, score, _values(ours[entry], score), _values(theirs[entry], score))
        for entry in shared
        for score in list(scores) or list(better)[:1]
    ]
    found = [pair.difference() for pair in pairs]
    adjusted = iter(holm([difference.p for difference in found if difference is not None]))
    return Changes(
        tuple(
            _change(pair, difference, None if difference is None else next(adjusted), better)
            for pair, difference in zip(pairs, found, strict=True)
        ),
        tuple(entry for entry in ours if entry not in theirs),
        tuple(entry for entry in theirs if entry not in ours),
    )


def _change(
    pair: _Pair, difference: Difference | None, p: float | None, better: Mapping[str, bool]
) -> Change:
    outcome, reason = _outcome(pair, difference, p, higher_is_better=better[pair.score])
    means = [
        None if values is None else math.fsum(values) / len(values)
        for values in (_all(pair.before), _all(pair.after))
    ]
    return Change(pair.entry, pair.score, means[0], means[1], difference, p, outcome, reason)


def _outcome(
    pair: _Pair, difference: Difference | None, p: float | None, *, higher_is_better: bool
) -> tuple[ChangeKind, str]:
    lost = [sum(value is None for value in values) for values in (pair.before, pair.after)]
    if lost[1] / len(pair.after) > lost[0] / len(pair.before):
        return "worse", f"{lost[1]} of {len(pair.after)} runs have no score, {lost[0]} before"
    if any(lost):
        return "undecided", "runs without a score on both sides" if all(lost) else "fewer were lost"
    if difference is None or p is None:
        return "undecided", "at least two seeds a side are needed"
    if p >= 1 - LEVEL:
        return "within noise", f"p = {p:.2g} after correction"
    risen = difference.value > 0
    return "better" if risen == higher_is_better else "worse", f"p = {p:.2g} after correction"


def _by_entry(records: Sequence[Record]) -> dict[str, list[Record]]:
    """The runs of each entry that were started."""
    entries: dict[str, list[Record]] = {}
    for record in records:
        if not record.is_baseline and record.status != "skipped":
            entries.setdefault(record.entry, []).append(record)
    return entries


def _require_one_protocol(entry: str, runs: Sequence[Record]) -> None:
    protocols = [run.protocol for run in runs if run.protocol]
    for other in protocols[1:]:
        different = protocol_differences(protocols[0], other)
        if different:
            raise DataError(f"{entry}: the protocols differ: {'; '.join(different)}")


def _values(runs: Sequence[Record], score: str) -> list[float | None]:
    """A run that diverged has no score, whatever its last good snapshot scores."""
    return [run.outcome(score).value for run in runs]


def _all(values: Sequence[float | None]) -> list[float] | None:
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else None


TONES: dict[ChangeKind, Tone] = {
    "better": "good",
    "worse": "bad",
    "within noise": "faint",
    "undecided": "open",
}


def document(found: Changes, before: str, after: str) -> Document:
    """Every change. ``before`` and ``after`` name the two sides, by their folders say."""
    rows: list[list[str | Cell]] = [
        [
            change.entry,
            change.score,
            number(change.before),
            number(change.after),
            _difference(change.difference),
            Cell(change.outcome, tone=TONES[change.outcome]),
            change.reason,
        ]
        for change in found.changes
    ]
    headings = "entry", "score", "before", "after", "difference", "change", "why"
    only = tuple(
        f"only in {side}: {', '.join(entries)}"
        for side, entries in ((before, found.only_before), (after, found.only_after))
        if entries
    )
    table = text_table(headings, rows, "llrrrll", names=2)
    section = Section(f"{before} → {after}", (table,), outcomes=only)
    return Document((section,), asdict(found))


def _difference(found: Difference | None) -> str:
    if found is None:
        return MISSING
    return f"{found.value:+.2g}\n[{found.low:+.2g}, {found.high:+.2g}]"
