"""Records → tables and rows: a table's records share a protocol, a row's differ only in the
seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from genbench.api import REAL
from genbench.store import canonical
from genbench.store.protocol import Protocol, flat
from genbench.store.records import Record

# Facts that may differ between the seeds of one entry.
_PER_RUN = ("snapshot", "platform")
# Facts that are complete only once a run was scored.
_OF_SCORED = ("sample", "weights", "obeys")


@dataclass(frozen=True)
class EntryRuns:
    """One row: the runs of one entry that differ in nothing but the seed."""

    label: str
    """The entry's name, with what distinguishes it from another entry of that name."""
    records: tuple[Record, ...]

    @property
    def real(self) -> bool:
        """Whether this is the real row."""
        return self.records[0].entry == REAL

    @property
    def is_baseline(self) -> bool:
        """Whether it belongs to no entry: the real row, or the row of a codec."""
        return self.records[0].is_baseline

    @cached_property
    def runs(self) -> list[Record]:
        """The runs that were started: all but those that could not fit."""
        return [record for record in self.records if record.status != "skipped"]

    @cached_property
    def trainings(self) -> set[str]:
        """The identities of the weights that its runs sample."""
        return {r.identities["training"] for r in self.records if "training" in r.identities}


@dataclass
class _Group:
    records: list[Record]
    repeat: int
    """Above 1 if the same conditions and seeds gave another result, from other code for example."""
    by_seed: dict[int | None, list[Record]]


def entry_runs(records: Sequence[Record]) -> list[EntryRuns]:
    """The rows of a table in the order of the records, the real row first, then those of codecs.

    The same run given twice counts once. Runs of one entry under different conditions are different
    rows, labelled by what differs.
    """
    groups: list[_Group] = []
    # By what the runs of a row have in common; and by as much of it as a run without scores knows.
    known: dict[tuple[bool, str], list[_Group]] = {}
    # Those without scores last: they join the row of the seeds that were scored.
    for record in sorted(records, key=lambda record: not record.scores):
        _place(groups, known, record)
    position = {id(record): index for index, record in enumerate(records)}
    for group in groups:
        group.records.sort(key=lambda record: (record.seed or 0, position[id(record)]))
    groups.sort(key=lambda group: min(position[id(record)] for record in group.records))
    groups.sort(key=lambda group: not group.records[0].is_baseline)
    groups.sort(key=lambda group: group.records[0].entry != REAL)
    labels = _labels(groups)
    return [EntryRuns(labels[id(group)], tuple(group.records)) for group in groups]


def by_protocol(records: Sequence[Record]) -> list[tuple[Protocol, list[Record]]]:
    """The records of each protocol, in their order.

    A run that ended before it was scored has no protocol; it joins the first one of its suite.
    """
    first_of_suite: dict[str, Protocol] = {}
    for record in records:
        if record.protocol:
            first_of_suite.setdefault(record.suite, record.protocol)
    groups: dict[str, tuple[Protocol, list[Record]]] = {}
    for record in records:
        protocol = record.protocol or first_of_suite.get(record.suite, {})
        groups.setdefault(canonical(protocol), (protocol, []))[1].append(record)
    return list(groups.values())


def real_baseline(rows: Sequence[EntryRuns]) -> Record | None:
    """The record of the real row, where there is one."""
    return next((row.records[0] for row in rows if row.real), None)


def _place(
    groups: list[_Group], known: dict[tuple[bool, str], list[_Group]], record: Record
) -> None:
    facts, scored = _facts(record), bool(record.scores)
    alike = known.get((scored, _key(facts, scored)), [])
    for group in alike:
        same_seed = group.by_seed.get(record.seed, [])
        if any(_same_run(other, record) for other in same_seed):
            return
        if not same_seed:
            group.records.append(record)
            group.by_seed[record.seed] = [record]
            return
    made = _Group([record], len(alike) + 1, {record.seed: [record]})
    groups.append(made)
    for each in (True, False):
        known.setdefault((each, _key(facts, each)), []).append(made)


def _key(facts: Mapping[str, Any], scored: bool) -> str:
    """What is complete only once a run was scored cannot tell an unscored one from it."""
    return canonical(facts if scored else _without(facts, _OF_SCORED))


def _same_run(a: Record, b: Record) -> bool:
    return (a.identities, a.status, a.reason) == (b.identities, b.status, b.reason)


def _facts(record: Record) -> dict[str, Any]:
    """What the seeds of one row have in common."""
    common = {"entry": record.entry, **_without(flat(record.conditions), _PER_RUN)}
    # Floor and ceiling are the same for every suite of one protocol.
    if not record.is_baseline:
        common |= {"suite": record.suite, "model": record.model}
    return common


def _without(facts: Mapping[str, Any], conditions: Sequence[str]) -> dict[str, Any]:
    """``flat`` facts but for those of some conditions."""
    return {k: v for k, v in facts.items() if k.partition(".")[0] not in conditions}


def _labels(groups: Sequence[_Group]) -> dict[int, str]:
    """By the ``id`` of each group: its entry, with what tells it from others of that name."""
    namesakes: dict[str, list[_Group]] = {}
    for group in groups:
        namesakes.setdefault(group.records[0].entry, []).append(group)
    labels = {}
    for entry, alike in namesakes.items():
        facts = [_facts(group.records[0]) for group in alike]
        names = dict.fromkeys(name for own in facts for name in own)
        varied = {n for n in names if len({canonical(own.get(n)) for own in facts}) > 1}
        if len({own.get("suite") for own in facts}) == len(facts) > 1:
            varied = {"suite"}  # which tells them apart, whatever else differs
        for group, own in zip(alike, facts, strict=True):
            differing = [f"{name} {value}" for name, value in own.items() if name in varied]
            if group.repeat > 1:
                differing.append(f"repeat {group.repeat}")
            labels[id(group)] = f"{entry} ({', '.join(differing)})" if differing else entry
    return labels
