"""Records, and what a reader names → what is shown: rows and scores, verdicts, leaderboards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from genbench.api.errors import UnknownName, UsageError
from genbench.store.records import RECORDS, Record, read_records

if TYPE_CHECKING:
    from genbench.analysis.document import Document
    from genbench.analysis.published import Leaderboard
    from genbench.analysis.standings import LeftOut, Standings
    from genbench.analysis.verdict import Verdict


def decided(records: Sequence[Record], claims: str | None) -> tuple[list[Verdict], list[str]]:
    """The verdicts on ``claims``, or on all installed claims that apply; and the reasons why others
    cannot be read.

    Raises ``UsageError`` if none applies.
    """
    from genbench.analysis.claims import load as load_claims
    from genbench.analysis.verdict import judge

    if claims is not None:
        return judge(records, load_claims(claims)), []
    verdicts, faults = offered_verdicts(records)
    if not verdicts:
        raise UsageError(
            "these runs have no entries for the claims that genbench list claims shows: "
            "name others with --claims"
        )
    return verdicts, faults


def offered_verdicts(records: Sequence[Record]) -> tuple[list[Verdict], list[str]]:
    """The verdicts on all installed claims that apply, if any; and the reasons why others cannot be
    read."""
    from genbench.analysis.claims import offered
    from genbench.analysis.verdict import applicable

    claims, faults = offered()
    return applicable(records, claims), faults


def ranked(name: str, paths: Sequence[Path]) -> tuple[Leaderboard, list[Standings], list[LeftOut]]:
    """A leaderboard with what was measured in ``paths``: run folders, or folders of them; and what
    of it belongs elsewhere. On a board of GenEval's scores a path may be a file of its results."""
    from genbench.analysis.geneval import imported
    from genbench.analysis.published import GENEVAL_OUTPUTS
    from genbench.analysis.published import load as load_board
    from genbench.analysis.published import offered as boards
    from genbench.analysis.standings import left_out, standings

    board = load_board(name)
    results = [path for path in paths if board.score in GENEVAL_OUTPUTS and path.is_file()]
    runs = []
    for folder in (path for path in paths if path not in results):
        inside = sorted(path.parent for path in folder.glob(f"*/{RECORDS}"))
        runs += [folder] if (folder / RECORDS).exists() or not inside else inside
    measured = [(str(run), read_records(run)) for run in runs]
    others = left_out(board, measured, boards()) if measured else []
    return board, standings(board, measured, [imported(path) for path in results]), others


def compared(
    records: Sequence[Record],
    scores: Sequence[str] | None,
    entries: Sequence[str] | None,
    *,
    transpose: bool = False,
    caption: str | None = None,
    label: str | None = None,
) -> Document:
    """The comparison tables of ``records``: of all scores with stability and costs, or of
    ``scores`` alone; of all entries, or of ``entries`` in this order; each entry in a column if
    ``transpose``. With a ``caption`` or a ``label`` the first table is a float in LaTeX.

    Raises ``UnknownName``; ``UsageError`` for what is no label.
    """
    from genbench.analysis.comparison import document, of_records

    made = document(select(records, None, entries))
    if scores is not None:
        # The tables keep what is said of the runs as a whole, as whether they collapsed.
        data, rows = of_records(select(records, scores, entries))
        made = replace(made.with_columns(scores), data=data, rows=rows)
    if transpose:
        made = made.transposed()
    return made.captioned(caption, label) if caption or label else made


def select(
    records: Sequence[Record], scores: Sequence[str] | None, entries: Sequence[str] | None
) -> list[Record]:
    """The rows that belong to no entry and the records of ``entries``, with no other scores than
    ``scores``.

    Raises ``UnknownName``.
    """
    baselines = {record.entry: record for record in records if record.is_baseline}
    known = {record.entry for record in records} - baselines.keys()
    scored = {name for record in records for name in record.scores}
    for name in entries or ():
        if name not in known:
            raise UnknownName("entry", name, known)
    for name in scores or ():
        if name not in scored:
            raise UnknownName("score", name, scored)
    chosen = list(records)
    if entries is not None:
        order = {name: place for place, name in enumerate([*baselines, *entries])}
        chosen = sorted((r for r in records if r.entry in order), key=lambda r: order[r.entry])
    if scores is None:
        return chosen
    return [
        replace(r, scores={name: r.scores[name] for name in scores if name in r.scores})
        for r in chosen
    ]
