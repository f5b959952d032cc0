"""The shortest answer that a run has: which entry is best, and whether that is sure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from genbench.analysis.cells import MISSING
from genbench.analysis.columns import Quantity, headline
from genbench.analysis.comparison import Comparison, comparison
from genbench.analysis.contrasts import contrasts
from genbench.analysis.document import EMPTY, Cell, Column, Document, Row, Section, Table
from genbench.analysis.entry_runs import EntryRuns, real_baseline
from genbench.analysis.notes import listed
from genbench.analysis.rankings import medians
from genbench.analysis.statistics import LEAST_SEEDS
from genbench.analysis.verdict import Decision, Verdict
from genbench.store.records import Record

MOST_ROWS = 8
"""Entries, the best first, beyond which the others are only counted."""
MOST_UNDECIDED = 2
"""Claims that are named though nothing is decided of them."""
SCORES = ("precision", "recall")
"""Shown beside the headline score, where they were computed."""
COSTS = ("nfe", "seconds_per_sample")
STABILITY = "last_over_best.ema"
LOST = ("diverged", "collapsed", "not trained", "failed")
DECIDED: tuple[Decision, ...] = ("supported", "contradicted")


def document(records: Sequence[Record], verdicts: Sequence[Verdict]) -> Document:
    """For each scoring protocol one small table, its entries by the headline score, and in a few
    sentences what it and ``verdicts``, those on ``records``, say."""
    sections = tuple(section(each, verdicts) for each in comparison(records))
    data = [
        {
            "title": each.title,
            "rows": [
                dict(zip([c.key for c in table.columns], [c.text for c in row.cells], strict=True))
                for table in each.tables
                for row in table.rows
            ],
            "says": list(each.notes),
        }
        for each in sections
    ]
    return Document(sections, data)


def section(compared: Comparison, verdicts: Sequence[Verdict]) -> Section:
    """Of one protocol."""
    records = [record for row in compared.entry_runs for record in row.records]
    score = headline(records, compared.protocol)
    ranking = medians(compared.entry_runs, score)
    rows = ordered(compared, ranking)
    shown = [row for row in rows if row.is_baseline]
    shown += [row for row in rows if not row.is_baseline][:MOST_ROWS]
    said = [
        *_best(compared.entry_runs, score, ranking),
        *_claims([each for each in verdicts if each.protocol == compared.protocol]),
        *_lost(compared.entry_runs),
    ]
    if len(shown) < len(rows):
        said.insert(0, f"{len(rows) - len(shown)} more entries follow in the full table.")
    return Section(compared.title, (_table(compared, score, shown),), notes=tuple(said))


def ordered(compared: Comparison, ranking: Mapping[str, float]) -> list[EntryRuns]:
    """The real row and those of codecs, the entries of ``ranking`` from the best, the others."""
    places = {label: place for place, label in enumerate(ranking)}

    def place(row: EntryRuns) -> int:
        return -1 if row.is_baseline else places.get(row.label, len(places))

    return sorted(compared.entry_runs, key=place)


def _table(compared: Comparison, score: Quantity, rows: Sequence[EntryRuns]) -> Table:
    index = {column.key: i for i, column in enumerate(compared.table.columns)}
    cells = {row.label: row.cells for row in compared.table.rows}
    keys = [key for key in dict.fromkeys((score.key, *SCORES)) if key in index]
    costs = [key for key in COSTS if key in index]
    real = real_baseline(compared.entry_runs)
    steady = Column("stability", "last / best", better=False)
    heads = [compared.table.columns[index[key]] for key in (*keys, *costs)]
    heads.insert(len(keys), steady)
    # The arrow of the score that the rows are ordered by is enough: the table must be narrow.
    columns = (
        compared.table.columns[0],
        *(replace(c, group="", better=c.better if c.key == score.key else None) for c in heads),
    )
    made = []
    for row in rows:
        own = cells[row.label]
        said = [own[index[key]] if key == score.key else _mean(own[index[key]]) for key in keys]
        said.append(_stability(row, real, own[index[STABILITY]] if STABILITY in index else EMPTY))
        said += [_mean(own[index[key]]) for key in costs]
        made.append(Row((own[0], *said), row.is_baseline))
    return Table(columns, tuple(made))


def _mean(cell: Cell) -> Cell:
    """The cell without the deviation; its unit stays. Without a number it is empty: why is said in
    the cell of the headline score."""
    if cell.value is None:
        return EMPTY
    value, mark, rest = cell.text.partition(" ± ")
    return replace(cell, text=f"{value} {rest.partition(' ')[2]}".strip()) if mark else cell


def _stability(row: EntryRuns, real: Record | None, last_over_best: Cell) -> Cell:
    """How many runs were lost; of those that were not, how far they end from their best."""
    if row.is_baseline:
        return EMPTY
    lost = sum(run.outcome(real=real).status in LOST for run in row.runs)
    if lost:
        return Cell(f"{lost} lost", tone="bad")
    return _mean(last_over_best) if last_over_best.text else Cell(MISSING)


def _best(rows: Sequence[EntryRuns], score: Quantity, ranking: Mapping[str, float]) -> list[str]:
    """Which entry is best by the headline score, and whether that is sure."""
    if not ranking:
        return []
    best, *others = ranking
    word = "highest" if score.better is True else "lowest"
    middle = "median " if len(_seeds(rows)) > 1 else ""
    said = f"{best} has the {word} {middle}{score.heading}, {ranking[best]:.3g}"
    if not others:
        return [f"{said}."]
    fewest = min(len(row.runs) for row in rows if row.label in ranking)
    if fewest < LEAST_SEEDS:
        told = "1 seed decides" if fewest == 1 else f"{fewest} seeds decide"
        return [f"{said}; but {told} no ranking. For one, add --seeds {_more(_seeds(rows))}."]
    found = {c.entry: c.judgement.outcome for c in contrasts(rows, score, best)}
    level = [entry for entry in others if found[entry] != "worse"]
    if not level:
        return [f"{said}, better than that of every other entry beyond the noise of seeds."]
    count = len(others) - len(level)
    told = f"better than {count} of {len(others)} others beyond the noise of seeds"
    return [f"{said}, {told}; not told apart from it: {listed(level)}."]


def _seeds(rows: Sequence[EntryRuns]) -> list[int]:
    return sorted({run.seed for row in rows for run in row.runs if run.seed is not None})


def _more(seeds: Sequence[int]) -> str:
    """These seeds, and as many further ones as a decision needs at least."""
    chosen, further = list(seeds), 0
    while len(chosen) < LEAST_SEEDS:
        if further not in chosen:
            chosen.append(further)
        further += 1
    return ",".join(map(str, sorted(chosen)))


def _claims(verdicts: Sequence[Verdict]) -> list[str]:
    """One sentence a set of claims."""
    said = []
    for verdict in verdicts:
        names: dict[Decision, list[str]] = {}
        for finding in verdict.findings:
            names.setdefault(finding.outcome, []).append(f"“{finding.claim.name}”")
        parts = [f"{outcome} {listed(names[outcome])}" for outcome in DECIDED if outcome in names]
        undecided = names.get("undecided", [])
        if undecided:
            few = len(undecided) <= MOST_UNDECIDED
            parts.append(f"undecided {listed(undecided) if few else f'{len(undecided)} claims'}")
        said.append(f"{verdict.title}: {'; '.join(parts)}.")
    return said


def _lost(rows: Sequence[EntryRuns]) -> list[str]:
    """How many runs of which entries were lost, and to what."""
    real = real_baseline(rows)
    parts = []
    for row in rows:
        counts = Counter(run.outcome(real=real).status for run in row.runs)
        fates = [f"{counts[status]} {status}" for status in LOST if counts[status]]
        if fates and not row.is_baseline:
            parts.append(f"{row.label} {' and '.join(fates)} of {len(row.runs)}")
    skipped = [row.label for row in rows if not row.runs and not row.is_baseline]
    return [
        *([f"Lost runs: {'; '.join(parts)}. The full table has the reasons."] if parts else []),
        *([f"Skipped: {listed(skipped)}. The full table has the reasons."] if skipped else []),
    ]
