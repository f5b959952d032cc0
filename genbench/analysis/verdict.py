"""Records and claims → supported, contradicted or undecided, with what was compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal, TypeAlias

from genbench import registry
from genbench.analysis.cells import number
from genbench.analysis.claims import Claim, Claims, Member
from genbench.analysis.columns import OVER_SEEDS, Quantity, comparison_quantities
from genbench.analysis.document import Cell, Document, Section, Tone, text_table
from genbench.analysis.entry_runs import EntryRuns, by_protocol, entry_runs
from genbench.analysis.notes import listed
from genbench.analysis.statistics import (
    LEAST_SEEDS,
    LEVEL,
    GroupComparison,
    compare,
    holm,
    interquartile_intervals,
    interquartile_mean,
    quantile,
    ranked,
)
from genbench.api.errors import UnknownName
from genbench.store.protocol import Protocol, describe
from genbench.store.records import Record

Decision: TypeAlias = Literal["supported", "contradicted", "undecided"]

DEVIATION = "deviation."
OF_TRAINING = ("training_flops", "training_seconds")
PER_ENTRY = ("seconds_per_sample",)
"""Quantities measured for one seed, which stands for the others: no weights change them."""


@dataclass(frozen=True)
class EntryValues:
    """One entry of a finding, with its runs."""

    label: str
    model: str
    values: tuple[float | None, ...]
    """By seed, of those that all entries ran; ``None`` for a run that diverged."""
    median: float | None
    interquartile_mean: float | None
    interval: tuple[float, float] | None
    """Of the interquartile mean, by the bootstrap over seeds."""


@dataclass(frozen=True)
class Finding:
    """The decision on one claim."""

    claim: Claim
    outcome: Decision
    reason: str
    """Why, in one line."""
    heading: str
    """Of the quantity."""
    comparison: GroupComparison | None
    """Of the claim's group with the other: P(higher). ``None`` where nothing could be compared."""
    adjusted_p: float | None
    """By Holm over the claims of the verdict that could be tested."""
    group: tuple[EntryValues, ...]
    against: tuple[EntryValues, ...]
    left_out: tuple[str, ...] = ()
    """Entries without the quantity, of a claim that compares only those that have it."""
    certain: bool = False
    """Whether the quantity is a cost that no seed changes, so that nothing is left to chance."""

    @property
    def share(self) -> float | None:
        """Of the pairs of runs, in how many the claim holds."""
        if self.comparison is None:
            return None
        above = self.comparison.probability
        return above if self.claim.direction == "higher" else 1 - above


@dataclass(frozen=True)
class Verdict:
    """All claims, on the records of one scoring protocol."""

    title: str
    suite: str
    datasets: tuple[str, ...]
    protocol: Protocol
    findings: tuple[Finding, ...]
    remarks: tuple[str, ...] = ()
    """Which models are in no group that is compared, and which names of groups no run has."""


METHOD = (
    "As claimed: the share of pairs of runs, one of each group, in which the claim holds, ties "
    f"counting half, with its {LEVEL:.0%} interval over seeds (Brunner & Munzel), uncorrected. p: "
    "permutation test over seeds, adjusted by Holm over the tested claims; decided below "
    f"{1 - LEVEL:.2g}. Diverged runs rank last. It speaks of these entries, equally weighted, "
    "at this budget."
)
TONES: dict[Decision, Tone] = {"supported": "good", "contradicted": "bad", "undecided": "open"}


def document(verdicts: Sequence[Verdict]) -> Document:
    """Every claim with its decision, and then a table of entries for each claim."""
    sections: list[Section] = []
    for verdict in verdicts:
        sections.append(_section(verdict))
        sections += [_section_of_entries(f) for f in verdict.findings if f.comparison is not None]
    rows = [
        {
            **{
                name: getattr(verdict, name)
                for name in ("title", "suite", "datasets", "protocol", "remarks")
            },
            "findings": [
                asdict(finding) | {"claim": finding.claim.model_dump(by_alias=True)}
                for finding in verdict.findings
            ],
        }
        for verdict in verdicts
    ]
    return Document(tuple(sections), rows)


def _section(verdict: Verdict) -> Section:
    rows: list[list[str | Cell]] = [
        [
            f"{finding.claim.name}\n({statement(finding)})",
            Cell(finding.outcome, bold=True, tone=TONES[finding.outcome]),
            as_claimed(finding),
            finding.reason,
        ]
        for finding in verdict.findings
    ]
    table = text_table(("claim", "verdict", "as claimed", "why"), rows, "llrl")
    title = f"{verdict.title}, {verdict.suite} on {' and '.join(verdict.datasets)}"
    left_out = tuple(
        f"{finding.claim.name}: without {listed(finding.left_out)}, which "
        f"{'has' if len(finding.left_out) == 1 else 'have'} no {finding.claim.quantity}."
        for finding in verdict.findings
        if finding.left_out
    )
    notes = (METHOD, describe(verdict.protocol), *left_out, *verdict.remarks)
    return Section(title, (table,), notes=notes)


def _section_of_entries(finding: Finding) -> Section:
    sides = (finding.claim.group, finding.group), (finding.claim.against, finding.against)
    rows = [
        [entry.label, group, number(entry.median), *_interquartile(entry)]
        for group, entries in sides
        for entry in entries
    ]
    headings = "entry", "group", "median", "interquartile mean", "seeds"
    title = f"{finding.claim.name}: {finding.heading}"
    return Section(title, (text_table(headings, rows, "llrrr"),), level=3, long=True)


def _interquartile(entry: EntryValues) -> list[str]:
    """The mean with its interval; and the seeds, ``4 of 5`` where a run came to no value."""
    said = number(entry.interquartile_mean)
    if entry.interval is not None:
        low, high = entry.interval
        said += f" [{low:.4g}, {high:.4g}]"
    n = len(entry.values)
    finite = sum(value is not None for value in entry.values)
    return [said, str(n) if finite == n else f"{finite} of {n}"]


def statement(finding: Finding) -> str:
    """What the claim says: ``diffusion: lower Fréchet distance than GAN``."""
    claim = finding.claim
    return f"{claim.group}: {claim.direction} {finding.heading} than {claim.against}"


def as_claimed(finding: Finding) -> str:
    """``92 % [85, 97]``: how often the claim holds; empty where nothing was compared."""
    found = finding.comparison
    if found is None or finding.share is None:
        return ""
    said = f"{100 * finding.share:.0f} %"
    if found.low is None or found.high is None:
        return said
    ends = [found.low, found.high]
    if finding.claim.direction == "lower":
        ends = [1 - found.high, 1 - found.low]
    return f"{said} [{100 * ends[0]:.0f}, {100 * ends[1]:.0f}]"


class _Undecidable(Exception):
    """The quantity cannot be compared: the reason."""


def judge(records: Sequence[Record], claims: Claims) -> list[Verdict]:
    """A verdict for each suite and scoring protocol, which are never mixed.

    Of every claim: the runs of all entries of its two groups are ranked together, diverged ones
    last, over the seeds that all of them ran, and the groups compared over seeds
    (``statistics.compare``). A claim is decided where its p-value, adjusted by Holm over
    the claims that are tested, is under 1 - ``LEVEL`` and there are at least ``LEAST_SEEDS`` seeds.
    The test of a deviation is approximate, since runs share the median they are measured from.

    A quantity that no seed moves, as FLOPs, or that was measured once an entry, is no draw:
    such a claim is supported where it holds of all pairs of entries, contradicted where of
    none. Quantities of the training count each training once, however many entries sample it.
    """
    return [
        _verdict(claims, suite, of_one, protocol)
        for protocol, of_protocol in by_protocol(records)
        for suite, of_one in _by_suite(of_protocol).items()
    ]


def _verdict(claims: Claims, suite: str, records: Sequence[Record], protocol: Protocol) -> Verdict:
    rows = [row for row in entry_runs(records) if not row.is_baseline]
    columns = {
        column.key: column
        for column in comparison_quantities(records, protocol)
        if column.path and column.key not in OVER_SEEDS
        if column.better is not None or column.path[0] == "cost"
    }
    return Verdict(
        claims.title,
        suite,
        tuple(dict.fromkeys(record.dataset for record in records)),
        protocol,
        tuple(_decided([_compared(claim, claims, rows, columns) for claim in claims.claims])),
        tuple(_remarks(claims, rows)),
    )


def _remarks(claims: Claims, rows: Sequence[EntryRuns]) -> list[str]:
    ran = list(dict.fromkeys(row.records[0].model for row in rows))
    compared = {group for claim in claims.claims for group in (claim.group, claim.against)}
    held = [member for group in compared for member in claims.groups[group]]
    inside = {row.records[0].model for row in rows if any(_is(row, member) for member in held)}
    outside = [model for model in ran if model not in inside]
    said = [f"In no group, so not compared: {listed(outside)}."] if outside else []
    known = {*ran, *registry.models.names()}
    absent = []
    for group, members in claims.groups.items():
        for member in members:
            if isinstance(member, str) and member not in known:
                said.append(f"Group {group}: {UnknownName('model', member, known)}")
            elif not any(_is(row, member) for row in rows):
                absent.append(member if isinstance(member, str) else member.entry)
    return [*said, *([f"In a group, but not among these runs: {listed(absent)}."] * bool(absent))]


def _by_suite(records: Sequence[Record]) -> dict[str, list[Record]]:
    suites: dict[str, list[Record]] = {}
    for record in records:
        suites.setdefault(record.suite, []).append(record)
    return suites


def applicable(records: Sequence[Record], claims: Sequence[Claims]) -> list[Verdict]:
    """The verdicts on all ``claims`` in which something could be compared."""
    verdicts = [verdict for each in claims for verdict in judge(records, each)]
    return [v for v in verdicts if any(f.comparison is not None for f in v.findings)]


def _compared(
    claim: Claim, claims: Claims, rows: Sequence[EntryRuns], columns: Mapping[str, Quantity]
) -> Finding:
    key = claim.quantity.removeprefix(DEVIATION)
    column = columns.get(key)
    heading = column.heading if column else key.replace("_", " ")
    if claim.quantity.startswith(DEVIATION):
        heading = f"deviation of {heading} from its median"
    finding = Finding(claim, "undecided", "", heading, None, None, (), ())
    try:
        if column is None:
            raise _Undecidable(f"the records have no {claim.quantity}")
        members = [
            _members(group, claims.groups[group], column, rows)
            for group in (claim.group, claim.against)
        ]
        if claim.scored_only:
            unscored = [row.label for side in members for row in side if _lacks(row, column)]
            finding = replace(finding, left_out=tuple(unscored))
            members = [[row for row in side if not _lacks(row, column)] for side in members]
            for group, side in zip((claim.group, claim.against), members, strict=True):
                if not side:
                    raise _Undecidable(f"no entry of the group {group!r} has {column.key}")
        seeds = _common_seeds([*members[0], *members[1]])
        sides = [[_entry_values(m, seeds, claim, column) for m in side] for side in members]
    except _Undecidable as undecidable:
        return replace(finding, reason=str(undecidable))
    higher = column.better is True and not claim.quantity.startswith(DEVIATION)
    ours, theirs = ([entry.values for entry in side] for side in sides)
    comparison = compare(ours, theirs, last="lowest" if higher else "highest")
    described = [_described(side, higher) for side in sides]
    finding = replace(finding, comparison=comparison, group=described[0], against=described[1])
    return replace(finding, certain=column.path[0] == "cost" and _constant(finding))


def _is(row: EntryRuns, member: Member) -> bool:
    """Whether the entry is, or is of, a member of a group."""
    record = row.records[0]
    return member == record.model if isinstance(member, str) else member.entry == record.entry


def _members(
    group: str, wanted: Sequence[Member], column: Quantity, rows: Sequence[EntryRuns]
) -> list[EntryRuns]:
    """The entries of a group with a finished run; of those that sample one training,
    the first, where the quantity is of the training. Raises ``_Undecidable``."""
    members = [row for row in rows if any(_is(row, each) for each in wanted) and _seeds(row)]
    if column.path[0] == "stability" or column.key in OF_TRAINING:
        members = list({frozenset(m.trainings): m for m in reversed(members)}.values())[::-1]
    if not members:
        raise _Undecidable(f"no entry of the group {group!r} ran")
    return members


def _lacks(row: EntryRuns, column: Quantity) -> bool:
    """Whether runs of the entry came to an end, and none to a number: not, where all diverged."""
    ended = [run for run in row.runs if run.completed]
    return bool(ended) and not any(
        column.read(run) is not None or _worst(run, column) for run in ended
    )


def _seeds(row: EntryRuns) -> set[int]:
    """Those with which a run came to an end."""
    ended = [run for run in row.records if run.status in ("done", "diverged")]
    return {run.seed for run in ended if run.seed is not None}


def _common_seeds(members: Sequence[EntryRuns]) -> list[int]:
    seeds = sorted(set.intersection(*map(_seeds, members)))
    if not seeds:
        raise _Undecidable("its entries have no seed in common")
    return seeds


def _entry_values(
    row: EntryRuns, seeds: Sequence[int], claim: Claim, column: Quantity
) -> EntryValues:
    chosen = set(seeds)
    runs = [record for record in row.records if record.seed in chosen]
    known = [column.read(run) for run in runs]
    if column.key in PER_ENTRY:
        measured = next((value for value in known if value is not None), None)
        known = [measured] * len(known)
    values: list[float | None] = []
    for run, value in zip(runs, known, strict=True):
        # What a run cost until it diverged is known.
        diverged = run.status == "diverged" and column.path[0] != "cost"
        unbounded = value is None and _worst(run, column)
        if not diverged and not unbounded and value is None:
            raise _Undecidable(f"{row.label}, seed {run.seed} has no {column.key}")
        values.append(None if diverged or unbounded else value)
    if claim.quantity.startswith(DEVIATION):
        values = _deviations(values, row.label, column)
    model = row.records[0].model
    return EntryValues(row.label, model, tuple(values), None, None, None)


def _worst(run: Record, column: Quantity) -> bool:
    """Whether a number that is missing has no bound, which is a result, and the worst."""
    return column.path[0] == "stability" and column.unbounded(run)


def _deviations(values: Sequence[float | None], label: str, column: Quantity) -> list[float | None]:
    middle = quantile(sorted(value for value in values if value is not None), 0.5)
    if middle is None:
        return list(values)
    if middle <= 0:
        raise _Undecidable(
            f"{label}: a median {column.key} of {middle:g} has no relative deviation"
        )
    return [None if value is None else abs(value - middle) / middle for value in values]


def _described(side: Sequence[EntryValues], higher_is_better: bool) -> tuple[EntryValues, ...]:
    intervals = interquartile_intervals([entry.values for entry in side], higher_is_better)
    return tuple(
        replace(
            entry,
            median=quantile(ranked(entry.values, higher_is_better), 0.5),
            interquartile_mean=interquartile_mean(entry.values, higher_is_better),
            interval=interval,
        )
        for entry, interval in zip(side, intervals, strict=True)
    )


def _decided(findings: Sequence[Finding]) -> list[Finding]:
    """With Holm's correction over those that can be tested."""
    tested = [finding for finding in findings if _p(finding) is not None]
    adjusted = holm([p for finding in tested if (p := _p(finding)) is not None])
    corrected = dict(zip(map(id, tested), adjusted, strict=True))
    return [_outcome(finding, corrected.get(id(finding)), len(tested)) for finding in findings]


def _p(finding: Finding) -> float | None:
    return None if finding.comparison is None or finding.certain else finding.comparison.p


def _constant(finding: Finding) -> bool:
    """Whether every entry has one finite value, whatever the seed, and more than one seed."""
    sides = [*finding.group, *finding.against]
    return all(
        len(set(entry.values)) == 1 < len(entry.values) and None not in entry.values
        for entry in sides
    )


def _outcome(finding: Finding, p: float | None, tested: int) -> Finding:
    comparison = finding.comparison
    if comparison is None:
        return finding
    if finding.certain:
        return _certain(finding, comparison)
    seeds = comparison.seeds[0]  # the same on both sides
    told = "1 seed" if seeds == 1 else f"{seeds} seeds"
    if p is None or seeds < LEAST_SEEDS:
        reason = f"{told} a side; {LEAST_SEEDS} are the least that can decide"
        return replace(finding, reason=reason, adjusted_p=p)
    least = 2 * tested / math.comb(2 * seeds, seeds)
    if least >= 1 - LEVEL:
        reason = f"{told} a side cannot decide {tested} claims together: p is {least:.2g} at best"
        return replace(finding, reason=reason, adjusted_p=p)
    if p >= 1 - LEVEL:
        return replace(finding, reason=f"p = {p:.2g} after correction", adjusted_p=p)
    outcome: Decision = "supported" if (finding.share or 0.0) > 0.5 else "contradicted"
    return replace(finding, outcome=outcome, reason=f"p = {p:.2g} after correction", adjusted_p=p)


def _certain(finding: Finding, comparison: GroupComparison) -> Finding:
    outcome: Decision = "undecided"
    if finding.share in (0, 1):
        outcome = "supported" if finding.share == 1 else "contradicted"
    found = replace(comparison, low=None, high=None, p=None)
    reason = "of pairs of entries; no seed changes it"
    return replace(finding, outcome=outcome, reason=reason, comparison=found)
