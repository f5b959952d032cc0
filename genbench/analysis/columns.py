"""The quantities that a comparison has columns for. Scores are as their metrics declare them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from genbench.analysis.document import Column
from genbench.api import Output
from genbench.store.protocol import Protocol, criteria
from genbench.store.records import Record

GROUPS = ("fidelity", "diversity", "memorization", "other scores")
"""Of scores; those that a plugin adds follow."""
STABILITY = "stability"
COST = "cost"

# The columns over seeds: they are no mean of anything that one run has.
DIVERGED = "diverged"
COLLAPSED = "collapsed"
NOT_TRAINED = "not trained"
IQR = "iqr"
CVAR = "cvar"
COUNTS = (DIVERGED, COLLAPSED, NOT_TRAINED)
OVER_SEEDS = (*COUNTS, IQR, CVAR)


@dataclass(frozen=True)
class Quantity:
    """Something that is compared, and where its numbers lie in a record."""

    key: str
    heading: str
    group: str
    path: tuple[str, ...] = ()
    """The keys that lead to the number in a record."""
    better: bool | None = None
    """Whether higher is better; ``None`` if it has no better direction."""
    decimals: int | None = None
    """``None``: as many as give the column's median three significant digits."""
    unit: str | None = None
    """``"count"`` (with k, M, G, …) or ``"s"``; ``None``: a plain number."""
    highest_last: bool = True
    """Whether a run without a number ranks as the highest; else as the lowest."""
    unconditional: bool = False
    """Meant whichever way a run ended, and over the runs where it was measured, as the number of
    parameters is."""

    def column(self) -> Column:
        """The head of its column."""
        return Column(self.key, self.heading, self.group, self.better)

    def read(self, record: Record) -> float | None:
        """The record's number, where it has one."""
        value: Any = record
        for depth, key in enumerate(self.path):
            value = getattr(value, key) if depth == 0 else value.get(key)
            if value is None:
                return None
        return float(value)

    def undefined(self, record: Record) -> bool:
        """Whether a run that ended well has no such number, since none is defined for it; not
        since it has no bound, which is a result, and the worst."""
        if self.path[:1] != ("stability",) or not record.completed:
            return False
        return self.read(record) is None and not self.unbounded(record)

    def unbounded(self, record: Record) -> bool:
        """Of a number of stability that a run does not have: whether a distance along the training
        was not finite, or never came down to the threshold."""
        if self.path[1] == "examples_to_threshold":
            return "threshold" in record.stability
        name = criteria(record.protocol).headline
        distances = [snapshot["scores"].get(name, 0.0) for snapshot in record.snapshots]
        return any(distance is None for distance in distances)

    def counted(self, record: Record) -> float | None:
        """The number with which a run counts: ``None`` where it diverged or failed."""
        return self.read(record) if self.unconditional or record.completed else None


_COST = (
    Quantity("parameters", "parameters", COST, unit="count", unconditional=True),
    Quantity("training_flops", "training FLOPs", COST, unit="count"),
    Quantity("training_seconds", "training time", COST, unit="s"),
    Quantity("nfe", "NFE", COST, decimals=0, unconditional=True),
    Quantity("sampling_flops", "FLOPs / sample", COST, unit="count", unconditional=True),
    Quantity("seconds_per_sample", "time / sample", COST, unit="s", unconditional=True),
)


def known_outputs(records: Sequence[Record]) -> dict[str, Output]:
    """By name, what the metrics behind the records declare of their scores."""
    return {name: output for record in records for name, output in record.outputs.items()}


def score_heading(name: str, outputs: Mapping[str, Output], protocol: Protocol) -> str:
    """What heads a score: ``FID`` only over the published Inception network."""
    output = outputs.get(name)
    if output is None:
        return name.replace("_", " ")
    extractor = str(protocol.get("extractor", "")).partition("@")[0]
    return output.names.get(extractor, output.heading)


def headline(records: Sequence[Record], protocol: Protocol) -> Quantity:
    """The score that runs of that protocol are judged by."""
    return _score(criteria(protocol).headline, known_outputs(records), protocol)


def comparison_quantities(records: Sequence[Record], protocol: Protocol) -> list[Quantity]:
    """Those for which some record has a number, group by group; scores as the suites list them."""
    outputs = known_outputs(records)
    scored = list(dict.fromkeys(name for record in records for name in record.scores))
    found = [
        *(_score(name, outputs, protocol) for name in scored),
        *_stability(scored, outputs, protocol),
        *(replace(cost, path=("cost", cost.key)) for cost in _COST),
    ]
    present = [
        each
        for each in found
        if not each.path or any(each.read(record) is not None for record in records)
    ]
    groups = list(dict.fromkeys([*GROUPS, *(each.group for each in found)]))
    return sorted(present, key=lambda each: groups.index(each.group))


def _score(name: str, outputs: Mapping[str, Output], protocol: Protocol) -> Quantity:
    output = outputs.get(name)
    return Quantity(
        name,
        score_heading(name, outputs, protocol),
        output.group if output else GROUPS[-1],
        ("scores", name, "value"),
        output.higher_is_better if output else None,
        output.decimals if output else None,
        highest_last=not (output and output.higher_is_better),
    )


def _stability(
    scored: Sequence[str], outputs: Mapping[str, Output], protocol: Protocol
) -> list[Quantity]:
    by = criteria(protocol)
    score = _score(by.headline, outputs, protocol)
    higher = score.better is True
    found = [Quantity(DIVERGED, DIVERGED, STABILITY, better=False)]
    if by.collapse_score in scored:
        found.append(Quantity(COLLAPSED, COLLAPSED, STABILITY, better=False))
        found.append(Quantity(NOT_TRAINED, NOT_TRAINED, STABILITY, better=False))
    for key, words, better, decimals, unit in (
        ("mean_along_training", "mean along training", higher, None, None),
        ("examples_to_threshold", "examples to threshold", False, None, "count"),
        ("last_over_best", "last / best", False, 2, None),
        ("max_drawdown", "max drawdown", False, 2, None),
    ):
        for weights, said in (("ema", "EMA"), ("raw", "raw")):
            path = ("stability", key, weights)
            name = f"{key}.{weights}", f"{words}, {said}"
            last = better is False
            found.append(Quantity(*name, STABILITY, path, better, decimals, unit, last))
    if by.headline in scored:
        over_seeds = replace(score, group=STABILITY, decimals=None)
        heading = f"IQR of {score.heading}"
        found.append(replace(over_seeds, key=IQR, heading=heading, better=False))
        worst = f"{score.heading}, worst half"
        found.append(replace(over_seeds, key=CVAR, heading=worst, better=higher))
    return found
