"""Two sets of runs of the same entries: what got better or worse, beyond the noise of seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from genbench.analysis.cells import MISSING, number
from genbench.analysis.document import Cell, Column, Document, Row, Section, Table
from genbench.analysis.pairs import TONES, JudgedPair, Pair, PairOutcome, complete, judged
from genbench.analysis.statistics import Difference
from genbench.api.errors import DataError, UnknownName
from genbench.store.protocol import protocol_differences
from genbench.store.records import Record


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
    outcome: PairOutcome
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


def changes(
    before: Sequence[Record], after: Sequence[Record], scores: Sequence[str] = ()
) -> Changes:
    """Every entry that both sides have, in each of ``scores`` (without any: the suite's first).

    How they are judged: ``pairs.judged``.

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
    named = [(entry, score) for entry in shared for score in list(scores) or list(better)[:1]]
    pairs = [
        Pair(_values(ours[entry], score), _values(theirs[entry], score), better[score])
        for entry, score in named
    ]
    return Changes(
        tuple(
            _change(*name, pair, judgement)
            for name, pair, judgement in zip(named, pairs, judged(pairs), strict=True)
        ),
        tuple(entry for entry in ours if entry not in theirs),
        tuple(entry for entry in theirs if entry not in ours),
    )


def _change(entry: str, score: str, pair: Pair, judgement: JudgedPair) -> Change:
    before, after = (
        None if values is None else math.fsum(values) / len(values)
        for values in (complete(pair.first), complete(pair.second))
    )
    return Change(
        entry,
        score,
        before,
        after,
        judgement.difference,
        judgement.adjusted_p,
        judgement.outcome,
        judgement.reason,
    )


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


def document(found: Changes, before: str, after: str) -> Document:
    """Every change. ``before`` and ``after`` name the two sides, by their folders say."""
    rows = [
        Row(
            (
                Cell(change.entry),
                Cell(change.score.replace("_", " ")),
                Cell(number(change.before), change.before),
                Cell(number(change.after), change.after),
                Cell(_difference(change.difference)),
                Cell(change.outcome, tone=TONES[change.outcome]),
                Cell(change.reason),
            )
        )
        for change in found.changes
    ]
    columns = (
        *(Column(name, name, numeric=False) for name in ("entry", "score")),
        *(Column(name, name) for name in ("before", "after", "difference")),
        Column("change", "change", numeric=False),
        Column("why", "why", numeric=False, narrow="hidden"),
    )
    only = tuple(
        f"only in {side}: {', '.join(entries)}"
        for side, entries in ((before, found.only_before), (after, found.only_after))
        if entries
    )
    table = Table(columns, tuple(rows), names=2)
    section = Section(f"{before} → {after}", (table,), outcomes=only)
    return Document((section,), asdict(found))


def _difference(found: Difference | None) -> str:
    if found is None:
        return MISSING
    return f"{found.value:+.2g}\n[{found.low:+.2g}, {found.high:+.2g}]"
