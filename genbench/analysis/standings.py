"""Published rows and records → one ranking for each scoring protocol."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from genbench.analysis.columns import score_heading
from genbench.analysis.entrants import Entrant, entrants
from genbench.analysis.protocols import by_protocol
from genbench.analysis.published import HIGHER_IS_BETTER, Board, Published
from genbench.analysis.statistics import mean_interval, summarize
from genbench.store.protocol import Protocol, describe
from genbench.store.records import Record

DISTANCE = "frechet_distance"


@dataclass(frozen=True)
class Number:
    """One score of one row."""

    value: float
    low: float | None = None
    """Ends of the 95 % interval of the mean over seeds; ``None`` where there is none."""
    high: float | None = None
    deviation: float | None = None
    """As it was published."""
    ended: str = ""
    """``4 of 5``, where a run came to no value and ``value`` is the median with it ranked last."""


@dataclass(frozen=True)
class Standing:
    """One row."""

    rank: int | None
    """From 1, equal values sharing theirs; ``None``: no contestant, or without the score."""
    label: str
    settings: str
    scores: Mapping[str, Number]
    nfe: float | None
    origin: str
    """The document it was read in, or the command that runs it again; empty for real data, which
    are no contestant."""
    published: Published | None = None
    """``None``: measured."""


@dataclass(frozen=True)
class Standings:
    """The rows of one scoring protocol, best first."""

    heading: str
    """The protocol."""
    rows: tuple[Standing, ...]
    columns: Mapping[str, str]
    """Of the scores, by name, the one that ranks first: its heading."""
    higher_is_better: Mapping[str, bool]


def standings(
    board: Board, measured: Sequence[tuple[str, Sequence[Record]]] = ()
) -> list[Standings]:
    """One ranking for each protocol, by the board's score.

    ``measured``: by output folder, its records; those of the board's data set and kind join. Runs
    share a ranking with published rows only where extractor, resizing, reference split and count
    are theirs; published rows that do not state the last two stand by themselves.
    """
    published: dict[tuple[str | None, int | None], list[Standing]] = {}
    for row in board.rows:
        if row.seen:
            published.setdefault((row.reference, row.count), []).append(_published(row, board))
    own: dict[str, tuple[Protocol, list[Standing]]] = {}
    better = dict(HIGHER_IS_BETTER)
    for folder, records in measured:
        better |= {name: up for record in records for name, up in record.better.items()}
        for protocol, of_protocol in by_protocol(_of_board(records, board)):
            key = _published_protocol(protocol, board)
            if key in published:
                rows = published[key]
            else:
                rows = own.setdefault(describe(protocol), (protocol, []))[1]
            # The floor is the same for all runs of one protocol.
            rows += [row for row in _measured(folder, of_protocol) if row not in rows]
    over = {"extractor": f"{board.extractor}@"}
    return [
        _ranked(_stated(board, *stated), rows, board.score, better, over)
        for stated, rows in sorted(published.items(), key=lambda item: -len(item[1]))
    ] + [
        _ranked(said, rows, board.score, better, protocol) for said, (protocol, rows) in own.items()
    ]


def _of_board(records: Sequence[Record], board: Board) -> list[Record]:
    """Those of its data set, and given labels as its models are; a real row only beside others."""
    of_data = [record for record in records if record.dataset == board.dataset]
    chosen = [
        record
        for record in of_data
        if record.seed is None or _conditional(record) == board.conditional
    ]
    return chosen if any(record.seed is not None for record in chosen) else []


def _conditional(record: Record) -> bool:
    return bool(record.conditions.get("options", {}).get("conditional", False))


def _published_protocol(protocol: Protocol, board: Board) -> tuple[str | None, int | None] | None:
    """The published protocol that a measured one meets, if any."""
    data, _, split = str(protocol.get("reference", "")).partition("@")[0].rpartition(":")
    extractor = str(protocol.get("extractor", "")).partition("@")[0]
    if extractor != board.extractor or data != board.dataset:
        return None
    if protocol.get("resize") != board.resize:
        return None
    return split, protocol.get("samples")


def _stated(board: Board, reference: str | None, count: int | None) -> str:
    against = f"against {reference}" if reference else "reference not stated"
    number = f"{count:,} samples" if count else "number of samples not stated"
    return f"Over {board.extractor}, {against}, {number}"


def _published(row: Published, board: Board) -> Standing:
    return Standing(
        rank=None,
        label=row.model,
        settings=row.settings,
        scores={
            name: Number(value, deviation=row.deviation if name == DISTANCE else None)
            for name, value in row.scores.items()
        },
        nfe=row.nfe,
        origin=board.sources[row.source].title,
        published=row,
    )


def _measured(folder: str, records: Sequence[Record]) -> list[Standing]:
    rows = []
    for entrant in entrants(records):
        first = entrant.records[0]
        seeds = len(entrant.runs)
        settings = "" if entrant.real else f"{first.suite}: {_budget(first)}, {_seeds(seeds)}"
        better = {name: up for record in entrant.records for name, up in record.better.items()}
        scores = {name: _over_seeds(entrant, name, better[name]) for name in better}
        rows.append(
            Standing(
                rank=None,
                label=entrant.label,
                settings=settings,
                scores={name: number for name, number in scores.items() if number is not None},
                nfe=None if entrant.real else first.cost.get("nfe"),
                origin="" if entrant.real else _command(folder, entrant.label),
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


def _over_seeds(entrant: Entrant, name: str, higher_is_better: bool) -> Number | None:
    values = [run.value(name) if run.status == "done" else None for run in entrant.runs]
    found = summarize(values, higher_is_better)
    if found.mean is None:
        ended = f"{found.k} of {found.n}"
        return None if found.median is None else Number(found.median, ended=ended)
    interval = mean_interval([value for value in values if value is not None])
    return Number(found.mean, *(interval or (None, None)))


def _ranked(
    heading: str,
    rows: Sequence[Standing],
    score: str,
    better: Mapping[str, bool],
    protocol: Protocol,
) -> Standings:
    names = list(dict.fromkeys([score, *(name for row in rows for name in row.scores)]))
    contest = [row for row in rows if row.origin and score in row.scores]
    values = sorted((row.scores[score].value for row in contest), reverse=better[score])
    ranked = [replace(row, rank=values.index(row.scores[score].value) + 1) for row in contest]
    rest = [row for row in rows if row not in contest]
    return Standings(
        heading=heading,
        rows=tuple(
            [row for row in rest if not row.origin]
            + sorted(ranked, key=lambda row: row.rank or math.inf)
            + [row for row in rest if row.origin]
        ),
        columns={name: score_heading(name, protocol) for name in names},
        higher_is_better={name: better[name] for name in names},
    )
