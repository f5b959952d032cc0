"""What each entry made, as pictures: its samples, their nearest neighbours, its trajectories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from genbench.analysis.diagnostics import TrainingGroup
from genbench.analysis.entry_runs import EntryRuns
from genbench.api import REAL, Shown
from genbench.api.errors import DataError
from genbench.report.neighbours import pairs_on_page, read_neighbours
from genbench.report.samples import picture, read_preview, small_picture
from genbench.report.trajectories import TITLES, read_frames, strip_on_page
from genbench.store.records import Record


@dataclass(frozen=True)
class Panel:
    """A picture of one entry."""

    label: str
    caption: str
    picture: Markup | None
    """``None``: the caption says why."""
    numbers: tuple[str, ...] = ()
    """One beneath each column of the picture."""


def samples(rows: Sequence[EntryRuns]) -> list[Panel]:
    """The samples of each row, those of its first seed that has some, the real ones first."""
    shown: dict[str, Shown] = {}
    reasons: dict[str, str] = {}
    for row in rows:
        record = _first_with("samples", row)
        try:
            shown[row.label] = read_preview(Path(record.files["samples"]))
        except KeyError:
            reasons[row.label] = "no samples"
        except DataError as error:
            reasons[row.label] = str(error)
    made = []
    for row in rows:
        caption, drawn = _caption(_first_with("samples", row)), None
        try:
            if row.label in shown:
                # The first are the real samples, if there are any.
                first = next(iter(shown.values()))
                drawn = picture(shown[row.label], f"samples: {row.label}", first)
        except DataError as error:
            reasons[row.label] = str(error)
        if row.label in reasons:
            caption = f"{caption}: {reasons[row.label]}"
        made.append(Panel(row.label, caption, drawn))
    return made


def firsts(rows: Sequence[EntryRuns]) -> list[Panel]:
    """Only the very first samples of each row that has some, of its first seed that has; nothing
    where no entry has any."""
    made: list[tuple[EntryRuns, Panel]] = []
    first: Shown | None = None
    for row in rows:
        try:
            shown = read_preview(Path(_first_with("samples", row).files["samples"]))
            first = first or shown
            drawn = small_picture(shown, f"first samples: {row.label}", first)
        except (KeyError, DataError):  # the reason stands where all samples are shown
            continue
        made.append((row, Panel(row.label, "", drawn)))
    return [panel for _, panel in made] if any(not row.is_baseline for row, _ in made) else []


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
            try:
                frames = read_frames(Path(path))
                title = TITLES[frames.kind]
                drawn = strip_on_page(frames, f"{title}: {row.label}")
            except DataError as error:
                title = f"{title}: {error}"
            made[kind + label] = Panel(row.label, title, drawn)
    return sorted(made.values(), key=lambda panel: not panel.caption.startswith(TITLES["forward"]))


def _first_with(kind: str, row: EntryRuns) -> Record:
    return next((record for record in row.records if kind in record.files), row.records[0])


def _caption(record: Record) -> str:
    seed = f"seed {record.seed}"
    if record.is_baseline:
        seed = "real samples" if record.entry == REAL else "real samples, encoded and decoded"
    return seed if record.completed else f"{seed}, {record.status}"
