"""Published rows and records → one ranking for each scoring protocol."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from genbench.analysis.columns import known_outputs, score_heading
from genbench.analysis.entry_runs import EntryRuns, by_protocol, entry_runs
from genbench.analysis.notes import imported_from
from genbench.analysis.published import Leaderboard, PublishedRow, shown_scores
from genbench.analysis.statistics import mean_interval, summarize
from genbench.api import Output
from genbench.store.protocol import Protocol, describe
from genbench.store.records import Record


@dataclass(frozen=True)
class StandingScore:
    """One score of one row."""

    value: float
    low: float | None = None
    """Ends of the 95 % interval: of the mean over seeds, or of a share of imported results.
    ``None`` where there is none: of a published row, and of too few seeds."""
    high: float | None = None
    deviation: float | None = None
    """As it was published."""
    ended: str = ""
    """``4 of 5`` if a run has no value; ``value`` then is the median, with that run ranked last."""
    seeds: int | None = None
    """The number of seeds averaged; ``None`` if it is no mean."""


@dataclass(frozen=True)
class Standing:
    """One row."""

    rank: int | None
    """From 1; equal values share a rank. ``None``: real data, or a row without the score."""
    label: str
    settings: str
    scores: Mapping[str, StandingScore]
    nfe: float | None
    origin: str
    """The document it was read in, the command that runs it again, or the file of its results;
    empty for real data, which are not ranked, and for imported samples."""
    note: str = ""
    published: PublishedRow | None = None
    """``None``: measured, or imported."""
    imported: bool = False
    """Whether its scores are those of a file of results."""
    protocol: str = ""
    """What it states of its protocol; empty where the heading says it."""


Stated: TypeAlias = tuple[str | int | None, ...]
"""A published protocol: the reference split, the number of samples, and the values of the board's
further fields; ``None``: not stated."""


@dataclass(frozen=True)
class Imported:
    """A row from a file of results, and its protocol."""

    row: Standing
    samples: int
    protocol: Mapping[str, str]
    """Values of fields that boards may name."""


@dataclass(frozen=True)
class LeftOut:
    """Measured rows that a leaderboard does not rank."""

    folder: str
    rows: tuple[str, ...]
    """By label."""
    kind: str
    """What they are, and the board where they belong, if there is one."""

    def __str__(self) -> str:
        return f"{self.folder}: {'; '.join(self.rows)} ({self.kind})"


@dataclass(frozen=True)
class Standings:
    """The rows of one scoring protocol, best first."""

    heading: str
    """The protocol."""
    rows: tuple[Standing, ...]
    columns: Mapping[str, str]
    """Of the scores, by name, the one that ranks first: its heading."""
    higher_is_better: Mapping[str, bool]


def left_out(
    board: Leaderboard,
    measured: Sequence[tuple[str, Sequence[Record]]],
    boards: Mapping[str, Leaderboard],
) -> list[LeftOut]:
    """The measured rows that are on other data than the board's, or whose models are given what its
    models are not. ``boards``: all that there are, by name."""
    found: dict[tuple[str, str], list[str]] = {}
    for folder, records in measured:
        for row in entry_runs(records):
            first = row.records[0]
            if row.is_baseline or _on_board(first, board):
                continue
            labels = found.setdefault((folder, _kind(first, boards)), [])
            if row.label not in labels:
                labels.append(row.label)
    return [LeftOut(folder, tuple(labels), kind) for (folder, kind), labels in found.items()]


def _kind(record: Record, boards: Mapping[str, Leaderboard]) -> str:
    obeyed = _obeyed(record)
    if obeyed is None:
        return f"{record.dataset}: the record does not say which conditions its model obeys"
    kind = f"{record.dataset}, {'given ' + ' and '.join(obeyed) if obeyed else 'unconditional'}"
    where = [f"genbench leaderboard {name}" for name in boards if _on_board(record, boards[name])]
    return f"{kind}: {' or '.join(where) or 'no leaderboard is for these'}"


def standings(
    board: Leaderboard,
    measured: Sequence[tuple[str, Sequence[Record]]] = (),
    imported: Sequence[Imported] = (),
) -> list[Standings]:
    """One ranking for each protocol, by the board's score.

    ``measured``: by output folder, its records; those of the board's data set and kind join. Runs
    share a ranking with published rows only where extractor, resizing, reference split and count
    are theirs; published rows that do not state the last two stand by themselves. Where the board
    names further fields of the protocol, rows that do not state all of it stand last, unranked.
    ``imported`` rows join the published ones of their protocol.
    """
    published: dict[Stated, list[Standing]] = {}
    for row in board.rows:
        if row.seen:
            stated = (row.reference, row.count, *map(row.protocol.get, board.protocol))
            published.setdefault(stated, []).append(_published(row, board))
    for each in imported:
        stated = (None, each.samples, *map(each.protocol.get, board.protocol))
        published.setdefault(stated, []).append(each.row)
    own: dict[str, tuple[Protocol, list[Standing]]] = {}
    outputs = shown_scores()
    for folder, records in measured:
        outputs |= known_outputs(records)
        for protocol, of_protocol in by_protocol(_of_board(records, board)):
            key = _published_protocol(protocol, board)
            if key in published:
                rows = published[key]
            else:
                rows = own.setdefault(describe(protocol), (protocol, []))[1]
            for own_row in _measured(folder, of_protocol):
                # The floor is the same for all runs of one protocol, but for the last digits.
                known_floor = not own_row.origin and any(not other.origin for other in rows)
                if own_row not in rows and not known_floor:
                    rows.append(own_row)
    over = {"extractor": f"{board.extractor}@"}
    in_order = sorted(published.items(), key=lambda item: -len(item[1]))
    unranked = [
        replace(row, protocol=_incomplete(board, stated))
        for stated, rows in published.items()
        if not _comparable(board, stated)
        for row in rows
    ]
    groups = [
        _ranked(_heading(board, stated), rows, board.score, outputs, over)
        for stated, rows in in_order
        if _comparable(board, stated)
    ]
    if unranked:
        groups.append(_ranked(UNRANKED, unranked, board.score, outputs, over, ranks=False))
    return groups + [
        _ranked(said, rows, board.score, outputs, protocol)
        for said, (protocol, rows) in own.items()
    ]


UNRANKED = "No rank, since these rows do not state their whole protocol"


def _comparable(board: Leaderboard, stated: Stated) -> bool:
    """Whether rows of that protocol rank: on a board that names fields, if it is stated whole."""
    needed = stated if board.extractor else stated[1:]  # without features there is no reference
    return not board.protocol or None not in needed


def _of_board(records: Sequence[Record], board: Leaderboard) -> list[Record]:
    """Those that belong on it; a real row only beside others."""
    chosen = [
        record
        for record in records
        if (record.is_baseline and record.dataset == board.dataset) or _on_board(record, board)
    ]
    return chosen if any(not record.is_baseline for record in chosen) else []


def _on_board(record: Record, board: Leaderboard) -> bool:
    """Whether it is of the board's data set, by a model that is given labels if the board's are."""
    obeyed = _obeyed(record)
    return (
        record.dataset == board.dataset and obeyed is not None and bool(obeyed) == board.conditional
    )


def _obeyed(record: Record) -> list[str] | None:
    """The conditions that its model obeys: none, of a run that was never sampled; ``None`` where
    the record does not say it."""
    obeyed: list[str] | None = record.conditions.get("obeys")
    return [] if obeyed is None and not record.scores else obeyed


def _published_protocol(protocol: Protocol, board: Leaderboard) -> Stated | None:
    """The published protocol that a measured one meets, if any. It meets none with further fields,
    which it does not have."""
    if board.protocol:
        return None
    data, _, split = str(protocol.get("reference", "")).partition("@")[0].rpartition(":")
    extractor = str(protocol.get("extractor", "")).partition("@")[0]
    if extractor != board.extractor or data != board.dataset:
        return None
    if protocol.get("resize") != board.resize:
        return None
    return split, protocol.get("samples")


def _heading(board: Leaderboard, stated: Stated) -> str:
    reference, count, *values = stated
    said = f"{count:,} samples" if count else "number of samples not stated"
    if board.extractor:
        against = f"against {reference}" if reference else "reference not stated"
        said = f"Over {board.extractor}, {against}, {said}"
    fields = zip(board.protocol, values, strict=True)
    return "; ".join([said, *(f"{name} = {value}" for name, value in fields)])


def _incomplete(board: Leaderboard, stated: Stated) -> str:
    """What a row states of its protocol, and what it does not."""
    names = ("reference", "samples", *board.protocol)
    parts = list(zip(names, stated, strict=True))[0 if board.extractor else 1 :]
    said = [
        f"{name} = {value:,}" if isinstance(value, int) else f"{name} = {value}"
        for name, value in parts
        if value is not None
    ]
    missing = ", ".join(name for name, value in parts if value is None)
    return "; ".join([*said, f"not stated: {missing}"])


def _published(row: PublishedRow, board: Leaderboard) -> Standing:
    return Standing(
        rank=None,
        label=row.model,
        settings=row.settings,
        scores={
            name: StandingScore(value, deviation=row.deviation if name == board.score else None)
            for name, value in row.scores.items()
        },
        nfe=row.nfe,
        origin=board.sources[row.source].title,
        note=row.note,
        published=row,
    )


def _measured(folder: str, records: Sequence[Record]) -> list[Standing]:
    rows = []
    for row in entry_runs(records):
        first, origin = row.records[0], imported_from(row.records)
        seeds = len(row.runs)
        settings = "" if row.is_baseline else f"{first.suite}: {_budget(first)}, {_seeds(seeds)}"
        outputs = known_outputs(row.records)
        scores = {name: _over_seeds(row, name, output) for name, output in outputs.items()}
        rows.append(
            Standing(
                rank=None,
                label=row.label,
                settings=settings,
                scores={name: number for name, number in scores.items() if number is not None},
                nfe=None if row.is_baseline else first.cost.get("nfe"),
                origin="" if row.is_baseline or origin else _command(folder, row.label),
                note="; ".join(filter(None, [f"it {origin}" if origin else "", first.note])),
            )
        )
    return rows


def _command(folder: str, label: str) -> str:
    return f"genbench reproduce {shlex.quote(f'{folder}:{label}')}"


def _budget(record: Record) -> str:
    examples = record.conditions.get("examples")
    return "no training" if not examples else f"{examples:,} examples"


def _seeds(count: int) -> str:
    return "1 seed" if count == 1 else f"{count} seeds"


def _over_seeds(row: EntryRuns, name: str, output: Output) -> StandingScore | None:
    values = [run.outcome(name).value for run in row.runs]
    found = summarize(values, output.higher_is_better)
    if found.mean is None:
        ended = f"{found.k} of {found.n}"
        return None if found.median is None else StandingScore(found.median, ended=ended)
    known_values = [value for value in values if value is not None]
    low, high = mean_interval(known_values, minimum=output.minimum) or (None, None)
    return StandingScore(found.mean, low, high, seeds=len(values))


def _ranked(
    heading: str,
    rows: Sequence[Standing],
    score: str,
    outputs: Mapping[str, Output],
    protocol: Protocol,
    *,
    ranks: bool = True,
) -> Standings:
    names = list(dict.fromkeys([score, *(name for row in rows for name in row.scores)]))
    contest = [row for row in rows if ranks and row.origin and score in row.scores]
    values = sorted(
        (row.scores[score].value for row in contest), reverse=outputs[score].higher_is_better
    )
    ranked = [replace(row, rank=values.index(row.scores[score].value) + 1) for row in contest]
    rest = [row for row in rows if row not in contest]
    return Standings(
        heading=heading,
        rows=tuple(
            [row for row in rest if not row.origin]
            + sorted(ranked, key=lambda row: row.rank or math.inf)
            + [row for row in rest if row.origin]
        ),
        columns={name: score_heading(name, outputs, protocol) for name in names},
        higher_is_better={name: outputs[name].higher_is_better for name in names},
    )
