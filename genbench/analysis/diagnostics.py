"""The curves of training in numbers: to be compared within one model, never across models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from genbench.analysis.cells import cell, column_decimals
from genbench.analysis.columns import Quantity
from genbench.analysis.document import EMPTY, Cell, Column, Row, Section, Table
from genbench.analysis.entry_runs import EntryRuns
from genbench.analysis.notes import listed, trained_as
from genbench.analysis.statistics import summarize
from genbench.store.records import Record

DIAGNOSTICS = "diagnostics"
_FIRST = Quantity("first_nonfinite_step", "first non-finite step", DIAGNOSTICS)
_SPIKES = Quantity("loss_spikes", "loss spikes", DIAGNOSTICS, unconditional=True)
_TAIL = Quantity("gradient_tail", "gradient norm, p99 / median", DIAGNOSTICS, unconditional=True)


@dataclass(frozen=True)
class TrainingGroup:
    """One model trained with some seeds, whichever entries sample it."""

    label: str
    """The entry that it is named by."""
    model: str
    """The model that trained: what losses may be compared within."""
    records: tuple[Record, ...]
    """One for each seed."""


def training_groups(rows: Sequence[EntryRuns]) -> list[TrainingGroup]:
    """What was trained for the rows, each once, those of one model together."""
    rows = [row for row in rows if not row.is_baseline and row.runs]
    sampling: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        for training in row.trainings:
            sampling.setdefault(training, []).append(number)
    found: dict[str, TrainingGroup] = {}
    seen: set[frozenset[str]] = set()
    for row in rows:
        trainings = frozenset(row.trainings)
        if trainings and trainings in seen:
            continue
        seen.add(trainings)
        numbers = sorted({number for training in trainings for number in sampling[training]})
        sharing = [rows[number] for number in numbers] or [row]
        owner = trained_as(sharing)
        if owner.label not in found:
            model = owner.records[0].trains or owner.records[0].model
            found[owner.label] = TrainingGroup(owner.label, model, _seeds(owner, sharing))
    by_model: dict[str, list[TrainingGroup]] = {}
    for group in found.values():
        by_model.setdefault(group.model, []).append(group)
    return [group for groups in by_model.values() for group in groups]


def diagnostics(of: Sequence[EntryRuns]) -> Section | None:
    """Loss spikes and gradient tails by player, one row for each player of each training.

    ``None`` where no run recorded any. A diverged run counts with what it recorded until then.
    """
    rows = [(training, player) for training in training_groups(of) for player in _players(training)]
    if not rows:
        return None
    by_column = [[_first_nonfinite(training) for training, _ in rows]]
    for column in (_SPIKES, _TAIL):
        placed = [(training, _at(column, player)) for training, player in rows]
        summaries = [summarize([c.read(r) for r in t.records]) for t, c in placed]
        decimals = column_decimals(column, [s.median for s in summaries if s.median is not None])
        by_column.append([cell(column, s, decimals) if s.k else EMPTY for s in summaries])
    families: dict[str, list[str]] = {}
    for training, _ in rows:
        families.setdefault(training.model, []).append(training.label)
    said = "; ".join(f"{model} ({listed(labels)})" for model, labels in families.items())
    named = Column("entry", "entry", DIAGNOSTICS, numeric=False)
    table = Table(
        (named, *(quantity.column() for quantity in (_FIRST, _SPIKES, _TAIL))),
        tuple(
            Row((Cell(f"{training.label} · {player}"), *cells))
            for (training, player), cells in zip(rows, zip(*by_column, strict=True), strict=True)
        ),
    )
    return Section(
        title="Training diagnostics",
        tables=(table,),
        notes=(
            f"To be compared within one model only, since losses differ in kind: {said}.",
            "Counted until a run ended, diverged ones included.",
        ),
    )


def _seeds(owner: EntryRuns, sharing: Sequence[EntryRuns]) -> tuple[Record, ...]:
    runs = [*owner.runs, *(record for row in sharing for record in row.runs)]
    by_seed: dict[int | None, Record] = {}
    for record in sorted(runs, key=lambda record: record.status == "failed"):
        by_seed.setdefault(record.seed, record)
    return tuple(sorted(by_seed.values(), key=lambda record: record.seed or 0))


def _players(training: TrainingGroup) -> list[str]:
    measured = [
        r.stability.get(column.key) for r in training.records for column in (_SPIKES, _TAIL)
    ]
    return list(dict.fromkeys(player for players in measured for player in players or {}))


def _at(column: Quantity, player: str) -> Quantity:
    return replace(column, path=("stability", column.key, player))


def _first_nonfinite(training: TrainingGroup) -> Cell:
    steps = [(r.stability.get(_FIRST.key), r.seed) for r in training.records]
    known = [(step, seed) for step, seed in steps if step is not None]
    said = [f"{step:,} (seed {seed})" for step, seed in known]
    return Cell(", ".join(said) or "none", min((step for step, _ in known), default=None))
