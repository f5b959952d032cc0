"""``genbench.sensitivity``: every entry of a suite at every point of a grid of settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from genbench import rendering, store
from genbench.analysis.document import Document
from genbench.analysis.sensitivity import Sensitivity, document, sensitivities
from genbench.api.errors import DataError, UnknownName
from genbench.api.metrics import LIKELIHOOD
from genbench.experiment.prepare import resolved
from genbench.experiment.results import Results
from genbench.experiment.run import RunOptions, run
from genbench.rendering.progress import observer_of
from genbench.store.records import Record
from genbench.suite import Grid, Suite, expand_grid, parse_over

SENSITIVITY = "sensitivity.md"


@dataclass(frozen=True)
class SensitivityResults:
    """The results of a grid of settings."""

    results: Results
    entries: Sequence[Sensitivity]
    left_out: Mapping[str, str]
    """Entries that do not have one of the settings, and the reason."""

    def document(self) -> Document:
        """One row for each entry, then all settings."""
        return document(self.entries, self.left_out)

    def __repr__(self) -> str:
        return rendering.render(self.document(), "terminal")

    def _repr_markdown_(self) -> str:
        return rendering.render(self.document(), "markdown")


def grid_of(suite: str | Path | Suite, over: Mapping[str, Sequence[Any]] | Sequence[str]) -> Grid:
    """The suite at every combination of the settings ``over``: a mapping from each to its values,
    or texts as ``--over`` takes them. Raises ``UsageError``."""
    content = resolved(suite)
    settings = over if isinstance(over, Mapping) else parse_over(over)
    grid = expand_grid(content, settings)
    # Another suite: its entries are not that one's.
    named = grid.suite.model_copy(update={"name": f"sensitivity {content.name}"})
    return Grid(named, grid.points, grid.left_out)


def default_folder(suite: Suite) -> Path:
    """Where the grid of a suite is run, if nothing else is said."""
    return Path(f"genbench-{suite.name}-sensitivity")


def sensitivity(
    suite: str | Path | Suite,
    over: Mapping[str, Sequence[Any]] | Sequence[str],
    out: str | Path | None = None,
    *,
    score: str | None = None,
    factor: float = 1.5,
    **options: Unpack[RunOptions],
) -> SensitivityResults:
    """Train every entry of ``suite`` on a grid of settings: how much depends on tuning?

    A setting is an option of the entry's model, or a key of ``[train]``, or ``examples``. ``score``
    ranks the settings (by default the suite's first that a run has); those within ``factor`` of
    the best count as nearly as good. ``options``: as ``run`` takes them. The folder ``out`` is by
    default ``genbench-NAME-sensitivity``. Raises ``UsageError``; ``DataError`` if no run has
    ``score``.
    """
    content = resolved(suite)
    likelihood = [LIKELIHOOD] if content.score.likelihood else []
    scores = [*content.score.metrics, *likelihood]
    if score is not None and score not in scores:
        raise UnknownName("score of the suite", score, scores)
    grid = grid_of(content, over)
    observer = observer_of(options.get("progress", True))
    for entry, reason in grid.left_out.items():
        observer.note(f"{entry} is left out: {reason}")
    results = run(grid.suite, default_folder(content) if out is None else out, **options)
    chosen = _scored(results.records, content.score.metrics, score)
    found = sensitivities(results.records, grid, chosen, factor)
    made = SensitivityResults(results, found, grid.left_out)
    text = rendering.render(made.document(), "markdown")
    store.write_text(results.folder / SENSITIVITY, text)
    return made


def _scored(records: Sequence[Record], metrics: Sequence[str], wanted: str | None) -> str:
    """The score to rank by: the one ``wanted``, or the suite's first that some run has. Raises
    ``DataError`` if none has the one wanted, though runs were scored."""
    scored = {score for record in records for score in record.scores}
    if wanted is None:
        return next((score for score in metrics if score in scored), metrics[0])
    if scored and wanted not in scored:
        skipped = (record.skipped_metrics.get(wanted) for record in records)
        reason = next((reason for reason in skipped if reason is not None), "no run has it")
        raise DataError(f"--score {wanted}: {reason}")
    return wanted
