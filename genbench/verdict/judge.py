"""Records and claims → supported, contradicted or undecided, with what was compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from genbench.protocol import Protocol
from genbench.results import Record
from genbench.statistics import (
    LEAST_SEEDS,
    LEVEL,
    Comparison,
    compare,
    holm,
    interquartile_mean,
    quantile,
    ranked,
)
from genbench.tables import Column, Entrant, by_protocol, comparison_columns, entrants
from genbench.verdict.claims import Claim, Claims

Outcome: TypeAlias = Literal["supported", "contradicted", "undecided"]

DEVIATION = "deviation."
DISTANCE = "frechet_distance"
"""What the stability of a run is computed from."""
PER_ENTRY = ("seconds_per_sample",)
"""Quantities measured for one seed, which stands for the others: no weights change them."""


@dataclass(frozen=True)
class Contestant:
    """One contestant of a finding, with its runs."""

    label: str
    model: str
    values: tuple[float | None, ...]
    """By seed, as ``Finding.seeds`` has them; ``None`` for a run that diverged."""
    median: float | None
    interquartile_mean: float | None


@dataclass(frozen=True)
class Finding:
    """What became of a claim."""

    claim: Claim
    outcome: Outcome
    reason: str
    """Why, in one line."""
    heading: str
    """Of the quantity."""
    comparison: Comparison | None
    """Of the claim's group with the other: P(higher). ``None`` where nothing could be compared."""
    adjusted_p: float | None
    """By Holm over the claims of the verdict that could be tested."""
    group: tuple[Contestant, ...]
    against: tuple[Contestant, ...]


@dataclass(frozen=True)
class Verdict:
    """All claims, on the records of one scoring protocol."""

    title: str
    datasets: tuple[str, ...]
    protocol: Protocol
    findings: tuple[Finding, ...]


class _Undecidable(Exception):
    """The quantity cannot be compared: the reason."""


def judge(records: Sequence[Record], claims: Claims) -> list[Verdict]:
    """A verdict for each scoring protocol, which are never mixed.

    Of every claim: the runs of all contestants of its two groups are ranked together, diverged ones
    last, and the groups compared over seeds (``genbench.statistics.compare``). A claim is decided
    where its p-value, adjusted by Holm over the claims, is under 1 - ``LEVEL`` and each side has at
    least ``LEAST_SEEDS`` seeds. The test of a deviation is approximate, since runs share the median
    they are measured from.
    """
    return [
        Verdict(
            claims.title,
            tuple(dict.fromkeys(record.dataset for record in of_one)),
            protocol,
            tuple(
                _decided([_compared(claim, claims, of_one, protocol) for claim in claims.claims])
            ),
        )
        for protocol, of_one in by_protocol(records)
    ]


def applicable(records: Sequence[Record], claims: Sequence[Claims]) -> list[Verdict]:
    """The verdicts on all ``claims`` in which something could be compared."""
    verdicts = [verdict for each in claims for verdict in judge(records, each)]
    return [v for v in verdicts if any(f.comparison is not None for f in v.findings)]


def _compared(
    claim: Claim, claims: Claims, records: Sequence[Record], protocol: Protocol
) -> Finding:
    columns = {column.key: column for column in comparison_columns(records, protocol)}
    key = claim.quantity.removeprefix(DEVIATION)
    column = columns.get(key)
    heading = column.heading if column else key.replace("_", " ")
    if claim.quantity.startswith(DEVIATION):
        heading = f"deviation of {heading} from its median"
    finding = Finding(claim, "undecided", "", heading, None, None, (), ())
    try:
        if (
            column is None
            or not column.path
            or (column.better is None and column.path[0] != "cost")
        ):
            raise _Undecidable(f"the records have no {claim.quantity}")
        sides = [
            _side(group, claims.groups[group], claim, column, records)
            for group in (claim.group, claim.against)
        ]
    except _Undecidable as undecidable:
        return replace(finding, reason=str(undecidable))
    higher = column.better is True and not claim.quantity.startswith(DEVIATION)
    ours, theirs = ([contestant.values for contestant in side] for side in sides)
    comparison = compare(ours, theirs, last="lowest" if higher else "highest")
    described = [tuple(_described(c, higher) for c in side) for side in sides]
    return replace(finding, comparison=comparison, group=described[0], against=described[1])


def _side(
    group: str, models: Sequence[str], claim: Claim, column: Column, records: Sequence[Record]
) -> list[Contestant]:
    """The contestants of a group with the quantity by seed, over the seeds that all of them ran.

    Raises ``_Undecidable``.
    """
    members = [entrant for entrant in entrants(records) if entrant.records[0].model in models]
    if not members:
        raise _Undecidable(f"no contestant of the group {group!r} ran")
    ran = [{r.seed for r in e.records if r.status in ("done", "diverged")} for e in members]
    seeds = sorted(seed for seed in set.intersection(*ran) if seed is not None)
    if not seeds:
        raise _Undecidable(f"the contestants of the group {group!r} have no seed in common")
    return [_contestant(member, seeds, claim, column) for member in members]


def _contestant(entrant: Entrant, seeds: Sequence[int], claim: Claim, column: Column) -> Contestant:
    runs = [record for record in entrant.records if record.seed in seeds]
    known = [column.read(run) for run in runs]
    if column.key in PER_ENTRY:
        measured = next((value for value in known if value is not None), None)
        known = [measured] * len(known)
    values: list[float | None] = []
    for run, value in zip(runs, known, strict=True):
        diverged = run.status == "diverged" and not column.unconditional
        unbounded = column.path[0] == "stability" and value is None and _lost_its_way(run)
        if not diverged and not unbounded and value is None:
            raise _Undecidable(f"{entrant.label}, seed {run.seed} has no {column.key}")
        values.append(None if diverged or unbounded else value)
    if claim.quantity.startswith(DEVIATION):
        values = _deviations(values, entrant.label, column)
    model = entrant.records[0].model
    return Contestant(entrant.label, model, tuple(values), None, None)


def _lost_its_way(run: Record) -> bool:
    """Whether a distance along the training was not finite: its fall is without bound, which is a
    result, and the worst."""
    distances = [snapshot["scores"].get(DISTANCE, 0.0) for snapshot in run.snapshots]
    return any(distance is None for distance in distances)


def _deviations(values: Sequence[float | None], label: str, column: Column) -> list[float | None]:
    middle = quantile(sorted(value for value in values if value is not None), 0.5)
    if middle is None:
        return list(values)
    if middle <= 0:
        raise _Undecidable(
            f"{label}: a median {column.key} of {middle:g} has no relative deviation"
        )
    return [None if value is None else abs(value - middle) / middle for value in values]


def _described(contestant: Contestant, higher_is_better: bool) -> Contestant:
    return replace(
        contestant,
        median=quantile(ranked(contestant.values, higher_is_better), 0.5),
        interquartile_mean=interquartile_mean(contestant.values, higher_is_better),
    )


def _decided(findings: Sequence[Finding]) -> list[Finding]:
    tested = [f for f in findings if f.comparison is not None and f.comparison.p is not None]
    p_values = [f.comparison.p for f in tested if f.comparison and f.comparison.p is not None]
    adjusted = dict(zip(map(id, tested), holm(p_values), strict=True))
    return [_outcome(finding, adjusted.get(id(finding))) for finding in findings]


def _outcome(finding: Finding, p: float | None) -> Finding:
    comparison = finding.comparison
    if comparison is None:
        return finding
    least = min(comparison.seeds)
    if least < LEAST_SEEDS:
        seeds = "1 seed" if least == 1 else f"{least} seeds"
        reason = f"{seeds} a side; {LEAST_SEEDS} are the least that can decide"
        return replace(finding, reason=reason, adjusted_p=p)
    assert p is not None
    if p >= 1 - LEVEL:
        return replace(finding, reason=f"p = {p:.2g} after correction", adjusted_p=p)
    as_claimed = (comparison.probability > 0.5) == (finding.claim.direction == "higher")
    outcome: Outcome = "supported" if as_claimed else "contradicted"
    return replace(finding, outcome=outcome, reason=f"p = {p:.2g} after correction", adjusted_p=p)
