"""The notes below a comparison: how to read it, what entries share, and which runs failed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from genbench.analysis.columns import headline, known_outputs, score_heading
from genbench.analysis.entry_runs import EntryRuns, real_baseline
from genbench.store import canonical
from genbench.store.protocol import Protocol, criteria, describe
from genbench.store.records import DISTANCE, PRECISION, Record
from genbench.suite import OPTIONS

SEEDS_FOR_BOLD = 5
"""Where an entry has fewer seeds, no value of the column is bold: the order may be luck."""

# Where and by what it was run comes last.
_LAST = ("weights", "precision", "device", "devices", "threads", "torch", "genbench", "platform")
_WORDS = {"examples": "examples seen in training", **OPTIONS}
_CONDITIONS = {name: _WORDS[name] for name in _WORDS if name not in _LAST} | {
    name: _WORDS.get(name, name) for name in _LAST
}
"""Run conditions and their words. A value that all rows share is stated once."""


def comparison_notes(protocol: Protocol, rows: Sequence[EntryRuns]) -> list[str]:
    """The notes of one table, the scoring protocol first."""
    entries = [row for row in rows if not row.is_baseline]
    notes = [describe(protocol), *_legend(protocol, rows)]
    notes += shared_weights(entries)
    notes += _given(entries)
    notes += _conditions(entries)
    notes += _unscored(rows)
    return notes


def comparison_details(rows: Sequence[EntryRuns]) -> dict[str, tuple[str, ...]]:
    """What stands beneath the notes in lines of its own: how each entry was sampled, and what a
    reader should mind of it and of its scores."""
    sampling = [_sampling(row) for row in rows if not row.is_baseline]
    told = {
        "Sampling options": tuple(filter(None, sampling)),
        "Cautions": tuple(line for row in rows for line in _cautions(row)),
    }
    return {about: lines for about, lines in told.items() if lines}


def _cautions(row: EntryRuns) -> list[str]:
    """The suite's note on it, and the notes on its scores; of each the first seed's."""
    own = next((record.note for record in row.records if record.note), "")
    found: dict[str, list[str]] = {}
    for record in row.runs:
        for name, score in record.scores.items():
            if note := score.get("note"):
                found.setdefault(name, []).append(note)
    # Scores of one metric may have one note.
    together: dict[tuple[str, int], list[str]] = {}
    for name, notes in found.items():
        together.setdefault((notes[0], len(notes)), []).append(name)
    return [f"{row.label}: {own}"] * bool(own) + [
        f"{row.label}, {listed(names)}: {note}" + (f" (the first of {count})" * (count > 1))
        for (note, count), names in together.items()
    ]


def shared_weights(entries: Sequence[EntryRuns]) -> list[str]:
    """Which entries sample the very same weights, each set of them once."""
    by_training: dict[str, list[EntryRuns]] = {}
    for row in entries:
        for training in sorted(row.trainings):
            by_training.setdefault(training, []).append(row)
    sharing = {tuple(r.label for r in rows): rows for rows in by_training.values() if len(rows) > 1}
    return [_shared(rows) for rows in sharing.values()]


def trained_as(rows: Sequence[EntryRuns]) -> EntryRuns:
    """Of the rows that share a training, the one that it is named by: the model that trained."""
    own = (row for row in rows if row.records[0].model == row.records[0].trains)
    return next(own, rows[0])


def outcomes(rows: Sequence[EntryRuns]) -> list[str]:
    """What diverged, collapsed, was not trained, failed or was skipped, seed by seed, with the
    reason."""
    real = real_baseline(rows)
    seeds: dict[tuple[str, str], list[int | None]] = {}
    for row in rows:
        for record in row.records:
            fate = _fate(record, None if record.is_baseline else real)
            if fate is not None:
                seeds.setdefault((row.label, fate), []).append(record.seed)
    return [f"{label}{_seeds(numbers)} {fate}." for (label, fate), numbers in seeds.items()]


def _fate(record: Record, real: Record | None) -> str | None:
    status = record.outcome(real=real).status
    if not record.completed:
        verb = "was skipped" if status == "skipped" else status
        return f"{verb}: {record.reason.rstrip('.')}" if record.reason else verb
    if real is None or status == "done":
        return None
    by = criteria(record.protocol)
    if status == "collapsed":
        name, share = by.collapse_score, _share(by.collapse_below)
        words = score_heading(name, record.outputs, record.protocol)
        values = f"{record.value(name):.3f}, under {share} of the real row's {real.value(name):.3f}"
        return f"collapsed: {words} {values}"
    score = headline([record], record.protocol)
    mine, floor = record.value("precision"), real.value("precision")
    return (
        f"was not trained: precision {mine:.3f} where the real row has {floor:.3f}, "
        f"{score.heading} {score.read(record):.3g} where it has {score.read(real):.3g}"
    )


def _seeds(numbers: Sequence[int | None]) -> str:
    known = [str(number) for number in numbers if number is not None]
    if not known:
        return ""
    return f", seed{'s' if len(known) > 1 else ''} {listed(known)}"


def _legend(protocol: Protocol, rows: Sequence[EntryRuns]) -> list[str]:
    entries = [row for row in rows if not row.is_baseline]
    runs = [record for row in entries for record in row.runs]
    seeds = sorted({record.seed for record in runs if record.seed is not None})
    lines = []
    if seeds:
        numbers = ", ".join(str(seed) for seed in seeds)
        lines.append(f"Mean ± standard deviation over seeds {numbers}.")
    if any(row.real and row.runs for row in rows):
        lines.append(
            "real: training samples scored as if generated, mean ± standard deviation over draws; "
            "the floor of every column but memorization, whose floor is the reference half's."
        )
    for row in (row for row in rows if row.is_baseline and not row.real and row.runs):
        said = row.records[0].conditions
        if "control" in said:
            lines.append(f"{row.label}: {said['control']}.")
            continue
        licence = said.get("codec", {}).get("licence", "unknown")
        lines.append(
            f"{row.label}: reference samples that the codec (licence {licence}) encoded and "
            "decoded; the ceiling of what is sampled in its latent space."
        )
    thresholds = {r.stability["threshold"] for r in runs if "threshold" in r.stability}
    lines += [f"Threshold along training: {threshold:g}." for threshold in sorted(thresholds)]
    if not all(record.completed for record in runs):
        lines.append(
            "(k of n): k of n runs gave a number; the median stands, with the others ranked last, "
            "and — where it falls on one of them."
        )
    if any(len(row.runs) > 1 for row in entries):
        lines.append(
            "Across seeds: IQR is the interquartile range, worst half the mean of the worst "
            "half of the runs (CVaR at 0.5)."
        )
    if any(0 < len(row.runs) < SEEDS_FOR_BOLD for row in entries):
        lines.append(f"No value is bold below {SEEDS_FOR_BOLD} seeds.")
    by, outputs = criteria(protocol), known_outputs(runs)
    words = score_heading(by.collapse_score, outputs, protocol)
    if not any(record.value(by.collapse_score) is not None for record in runs):
        lines.append(f"Collapse was not judged: {words} was not scored.")
    elif runs:
        lines.append(
            f"Collapsed: a final {words} under {_share(by.collapse_below)} of the real row's."
        )
    if any(record.value("precision") is not None for record in runs):
        distance = score_heading(by.headline, outputs, protocol)
        lines.append(
            f"Not trained, and then not collapsed: a precision under {_share(PRECISION)} of the "
            f"real row's and a {distance} over {DISTANCE:g} times the real row's."
        )
    return lines


def _share(value: float) -> str:
    return {0.1: "a tenth", 0.25: "a quarter", 0.5: "half"}.get(value, f"{value:g}")


def _shared(rows: Sequence[EntryRuns]) -> str:
    owner = trained_as(rows)
    others = [row.label for row in rows if row is not owner]
    verb = "samples" if len(others) == 1 else "sample"
    return f"Trained once: {listed(others)} {verb} the weights of {owner.label}."


def _given(entries: Sequence[EntryRuns]) -> list[str]:
    origins = {row.label: origin for row in entries if (origin := imported_from(row.records))}
    rows = [
        row.label
        for row in entries
        if row.label not in origins and any(x.conditions.get("pretrained") for x in row.runs)
    ]
    given = [f"Nothing was trained for {listed(rows)}: the weights were given."] if rows else []
    return given + [f"{label} {origin}." for label, origin in origins.items()]


def imported_from(records: Sequence[Record]) -> str:
    """That a row cannot be rerun, and what is known of its samples; empty if it can."""
    found = next((r.conditions["imported"] for r in records if "imported" in r.conditions), None)
    if found is None:
        return ""
    system, version, date = (found[name] for name in ("system", "version", "date"))
    return f"cannot be rerun: its samples are those of {system} ({version}), made on {date}"


def _conditions(entries: Sequence[EntryRuns]) -> list[str]:
    common, varied = [], []
    for name, words in _CONDITIONS.items():
        values: dict[str, list[str]] = {}
        for row in entries:
            different: list[Any] = []  # mostly one a row
            for record in row.runs:
                value = record.conditions.get(name)
                if value is not None and value not in different:
                    different.append(value)
            for value in different:
                values.setdefault(_said(value), []).append(row.label)
        if [*values] == ["false"]:
            continue  # what nobody switched on
        if len(values) == 1:
            common.append(f"{words} {next(iter(values))}")
        elif values:
            parts = [f"{said} ({listed(labels)})" for said, labels in values.items()]
            varied.append(f"Conditions that differ, {words}: {'; '.join(parts)}.")
    return ([f"Conditions: {'; '.join(common)}."] if common else []) + varied


def _sampling(row: EntryRuns) -> str | None:
    found = (r.conditions["sample"] for r in row.runs if r.scores and r.conditions.get("sample"))
    options: Mapping[str, Any] = next(found, {})
    given = {name: value for name, value in options.items() if value is not None}
    said = ", ".join(f"{name} {_said(value)}" for name, value in given.items())
    return f"{row.label}: {said}" if said else None


def _unscored(rows: Sequence[EntryRuns]) -> list[str]:
    by_reason: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for record in row.records:
            for output, reason in record.skipped_metrics.items():
                by_reason.setdefault((output, reason), []).append(row.label)
    scored = {row.label for row in rows if any(r.scores for r in row.records)}
    return [
        f"{output} was not scored{_of(labels, scored)}: {reason}."
        for (output, reason), labels in by_reason.items()
    ]


def _of(labels: Iterable[str], everybody: set[str]) -> str:
    return "" if set(labels) >= everybody else f" for {listed(labels)}"


def listed(words: Iterable[str]) -> str:
    """``A, B and C``, each once."""
    unique = list(dict.fromkeys(words))
    return " and ".join([", ".join(unique[:-1]), unique[-1]] if len(unique) > 1 else unique)


def _said(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_said, value)) or "none"
    if isinstance(value, bool) or value is None or not isinstance(value, (int, float, str)):
        return canonical(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"{value:,}" if isinstance(value, int) and abs(value) >= 10_000 else str(value)
