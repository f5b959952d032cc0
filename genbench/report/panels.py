"""What each entry made, as pictures: its samples, their nearest neighbours, its trajectories."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from markupsafe import Markup

from genbench.analysis.diagnostics import TrainingGroup
from genbench.analysis.entry_runs import EntryRuns
from genbench.api import CONTROL, REAL, Shown
from genbench.api.errors import DataError
from genbench.report.neighbours import pairs_on_page, read_neighbours
from genbench.report.players import players
from genbench.report.samples import one_by_one, picture, small_picture
from genbench.report.trajectories import TITLES, read_frames, strip_on_page
from genbench.store.records import Record

FURTHER_TEXT = 1_200_000
"""Characters of pictures of further seeds, beyond which a seed is left out for all entries: what a
page holds must stay small enough to be sent."""
FURTHER_BYTES = 400_000_000
"""The same of the files that must be read for them."""

Reader = Callable[[Path], Shown]
"""Reads a sample file as ``samples.read_preview`` does, and raises as it does."""


@dataclass(frozen=True)
class Panel:
    """A picture of one entry."""

    label: str
    caption: str
    picture: Markup | None
    """``None``: the caption says why."""
    numbers: tuple[str, ...] = ()
    """One beneath each column of the picture."""
    asked: tuple[str, ...] = ()
    """What each row of the picture was asked for."""
    seed: int | None = None
    """Of the run that is shown, where there is a choice."""
    further: Mapping[int, Panel] = field(default_factory=dict)
    """The same of other seeds."""


def samples(rows: Sequence[EntryRuns], read: Reader) -> tuple[list[Panel], list[int]]:
    """The samples of each row, those of its first seed that has some, the real ones first, and
    those of further seeds; and the seeds that the page has no room for."""
    first: Shown | None = None
    made: list[Panel] = []
    for row in rows:
        panel, shown = _samples_of(row, _first_with("samples", row), read, first, len(rows))
        first = first or shown
        made.append(panel)
    seeds = sorted({r.seed for row in rows for r in row.records if r.seed is not None and _has(r)})
    further: list[dict[int, Panel]] = [{} for _ in rows]
    text = size = 0
    for number, seed in enumerate(seeds if len(seeds) > 1 else []):
        runs = [_further(row, panel, seed) for row, panel in zip(rows, made, strict=True)]
        size += sum(_size(run) for run in runs if run is not None)
        if size > FURTHER_BYTES:
            return _with_further(made, further), seeds[number:]
        found = [
            None
            if run is None
            else _samples_of(row, run, read, first, len(rows), f", seed {seed}")[0]
            for row, run in zip(rows, runs, strict=True)
        ]
        text += sum(len(panel.picture or "") for panel in found if panel is not None)
        if text > FURTHER_TEXT:
            return _with_further(made, further), seeds[number:]
        for of_row, own, other, row in zip(further, made, found, rows, strict=True):
            if other is not None:
                of_row[seed] = other
            elif own.seed != seed and not row.is_baseline:
                of_row[seed] = Panel(row.label, f"seed {seed}: not run", None, seed=seed)
    return _with_further(made, further), []


def _with_further(made: Sequence[Panel], further: Sequence[Mapping[int, Panel]]) -> list[Panel]:
    return [replace(panel, further=of_row) for panel, of_row in zip(made, further, strict=True)]


def _further(row: EntryRuns, panel: Panel, seed: int) -> Record | None:
    """The run of a row with that seed, unless it is shown already."""
    if panel.seed == seed:
        return None
    return next((record for record in row.records if record.seed == seed), None)


def _has(record: Record) -> bool:
    return "samples" in record.files


def _size(record: Record) -> int:
    try:
        return Path(record.files["samples"]).stat().st_size
    except (KeyError, OSError):
        return 0


def _samples_of(
    row: EntryRuns,
    record: Record,
    read: Reader,
    first: Shown | None,
    entries: int,
    said: str = "",
) -> tuple[Panel, Shown | None]:
    """The panel of one run, and its samples. ``first``: those of the first row that has some.
    ``entries``: so many share the page. ``said``: what its picture says aloud after the name of
    the entry."""
    caption, drawn, shown = _caption(record), None, None
    try:
        shown = read(Path(record.files["samples"]))
        label = f"{row.label}{said}"
        drawn = picture(shown, f"samples: {label}", first or shown)
        drawn += players(shown, label, entries)
    except KeyError:
        caption = f"{caption}: no samples"
    except DataError as error:
        caption = f"{caption}: {error}"
    return Panel(row.label, caption, drawn, seed=record.seed), shown


def firsts(rows: Sequence[EntryRuns], read: Reader) -> list[Panel]:
    """Only the very first samples of each row that has some, of its first seed that has; nothing
    where no entry has any."""
    made: list[tuple[EntryRuns, Panel]] = []
    first: Shown | None = None
    for row in rows:
        try:
            shown = read(Path(_first_with("samples", row).files["samples"]))
            first = first or shown
            drawn = small_picture(shown, f"first samples: {row.label}", first)
        except (KeyError, DataError):  # the reason stands where all samples are shown
            continue
        made.append((row, Panel(row.label, "", drawn)))
    return [panel for _, panel in made] if any(not row.is_baseline for row, _ in made) else []


def same_noise(rows: Sequence[EntryRuns], read: Reader) -> list[list[Panel]]:
    """For each training that several entries sample: the first samples of each with one seed, in
    a row, so that a column is what they make of the same noise. Nothing of what is no image."""
    sharing: dict[str, list[tuple[EntryRuns, Record]]] = {}
    for row in rows:
        for record in row.records:
            if _has(record) and "training" in record.identities and not row.is_baseline:
                sharing.setdefault(record.identities["training"], []).append((row, record))
    made: dict[frozenset[str], list[Panel]] = {}
    for members in sharing.values():
        labels = frozenset(row.label for row, _ in members)
        if len(labels) < 2 or labels in made:
            continue
        panels = []
        for row, record in members:
            try:
                shown = read(Path(record.files["samples"]))
                drawn = one_by_one(shown, f"from the same noise: {row.label}")
            except DataError:  # the reason stands where all samples are shown
                continue
            if drawn is not None:
                panels.append(Panel(row.label, _caption(record), drawn))
        if len(panels) > 1:
            made[labels] = panels
    return [*made.values()]


def neighbours(rows: Sequence[EntryRuns]) -> list[Panel]:
    """Some samples of each row that has some beside training samples, from its first such seed;
    nothing of what is no image."""
    made = []
    for row in rows:
        record = _first_with("neighbours", row)
        if "neighbours" not in record.files:
            continue
        caption = _caption(record)
        try:
            found = read_neighbours(Path(record.files["neighbours"]))
        except DataError as error:
            made.append(Panel(row.label, f"{caption}: {error}", None))
            continue
        said = f"{row.label}: samples, each above its nearest training sample"
        drawn = pairs_on_page(found, said)
        if drawn is not None:
            numbers = tuple(f"{distance:#.3g}".rstrip(".") for distance in found.distances)
            made.append(Panel(row.label, caption, drawn, numbers))
    return made


def trajectories(trained: Sequence[TrainingGroup]) -> list[Panel]:
    """How data become noise, once, and what each training makes of noise, by its first seed that
    shows it."""
    made: dict[str, Panel] = {}
    for row in trained:
        for kind in ("forward", "reverse"):
            path = next((r.files[kind] for r in row.records if kind in r.files), None)
            label = row.label if kind == "reverse" else ""
            if path is None or kind + label in made:
                continue
            title, drawn = TITLES[kind], None
            asked: tuple[str, ...] = ()
            try:
                frames = read_frames(Path(path))
                title, asked = TITLES[frames.kind], frames.asked
                drawn = strip_on_page(frames, f"{title}: {row.label}")
            except DataError as error:
                title = f"{title}: {error}"
            made[kind + label] = Panel(row.label, title, drawn, asked=asked)
    return sorted(made.values(), key=lambda panel: not panel.caption.startswith(TITLES["forward"]))


def _first_with(kind: str, row: EntryRuns) -> Record:
    return next((record for record in row.records if kind in record.files), row.records[0])


def _caption(record: Record) -> str:
    seed = f"seed {record.seed}"
    if record.is_baseline:
        seed = "real samples" if record.entry == REAL else "real samples, encoded and decoded"
        seed = "training samples" if record.entry.startswith(CONTROL) else seed
    return seed if record.completed else f"{seed}, {record.status}"
