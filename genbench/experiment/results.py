"""The results of a run, from the call that ran it or from its folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genbench.analysis.selection import compared, decided, ranked
from genbench.api import Samples
from genbench.api.errors import DataError, UnknownName
from genbench.experiment.run import REPORT, SUITE
from genbench.rendering import DisplayedDocument
from genbench.store import Damaged
from genbench.store.records import MARKER, Record, read_records, sealed, to_frame
from genbench.suite import Suite

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from genbench.analysis.changes import Changes
    from genbench.report.plots import Charts


@dataclass(frozen=True, repr=False)
class Results:
    """The records of a run, and what follows from them. ``genbench.load`` reads the same from a
    folder."""

    records: Sequence[Record]
    """One for each entry and seed, and one for the real row."""
    folder: Path
    suite: Suite | None = None
    """As it was run; ``None`` if the folder does not hold it."""

    @property
    def status(self) -> Mapping[str, int]:
        """How many records are ``done``, ``diverged``, ``failed`` and ``skipped``."""
        return Counter(record.status for record in self.records)

    @property
    def has_faults(self) -> bool:
        """Whether a run or a metric failed; the command line then exits with status 1."""
        return any(record.status == "failed" or record.faults for record in self.records)

    def frame(self) -> pd.DataFrame:
        """One row for each score: ``suite, entry, model, …, seed, status, metric, value, low,
        high``."""
        return to_frame(self.records)

    def summary(self) -> DisplayedDocument:
        """The shortest answer: a small table, its entries by the headline score, which is best, and
        whether that is sure."""
        from genbench.analysis.selection import offered_verdicts
        from genbench.analysis.summary import document

        return DisplayedDocument(document(self.records, offered_verdicts(self.records)[0]))

    def table(
        self,
        *,
        scores: Sequence[str] | None = None,
        entries: Sequence[str] | None = None,
        transpose: bool = False,
        caption: str | None = None,
        label: str | None = None,
    ) -> DisplayedDocument:
        """The comparison table. ``scores`` and ``entries`` choose columns and rows, and their
        order; ``transpose`` gives each entry a column. With a ``caption`` or a ``label`` it is one
        float in LaTeX, with its notes.

        Raises ``UnknownName``.
        """
        chosen = compared(
            self.records, scores, entries, transpose=transpose, caption=caption, label=label
        )
        return DisplayedDocument(chosen)

    def verdict(self, claims: str | None = None) -> DisplayedDocument:
        """The verdict on the claims of that name or file; by default, on all installed claims for
        which these records have entries."""
        from genbench.analysis.verdict import document

        return DisplayedDocument(document(decided(self.records, claims)[0]))

    def compare(self, other: Results | str | Path, scores: Sequence[str] = ()) -> Changes:
        """What got better or worse from this run to ``other``, beyond the noise of seeds."""
        from genbench.analysis.changes import changes

        after = other if isinstance(other, Results) else load(other)
        return changes(self.records, after.records, scores)

    def leaderboard(self, name: str) -> DisplayedDocument:
        """The published rows of a leaderboard, with this run's rows beside those of equal
        protocol."""
        from genbench.analysis.standings_document import document

        return DisplayedDocument(document(*ranked(name, [self.folder])))

    def report(self, path: str | Path | None = None) -> Path:
        """Write the page to ``path``; without one, the page that the run left in its folder."""
        from genbench.report import write_report

        if path is None and (self.folder / REPORT).is_file():
            return self.folder / REPORT
        out = self.folder / REPORT if path is None else Path(path)
        write_report([self.folder], out)
        return out

    def plots(self) -> list[str]:
        """The names that ``plot`` takes, in the order of the report. A figure is drawn only when
        it is asked for by its name, so that looking for one does not draw all."""
        return list(self._charts().by_name)

    def plot(self, name: str) -> Figure:
        """A chart of the report as a matplotlib figure for a paper: 3.4 inches wide, with its
        legend beneath the axes, without a title. It shows itself in a notebook, and
        ``plot(name).savefig("figure.pdf")`` writes it, with its fonts as TrueType.

        ``name``: one of ``plots()``, for example ``intervals``, ``precision-recall``,
        ``frechet-distance-against-nfe``, ``frechet-distance-along-training`` or
        ``training-loss-ddpm``. Raises ``UnknownName``; ``DataError`` if there is no chart at all,
        ``store.Damaged`` where a history is not as it was written.
        """
        (chart,) = self._charts().chosen([name])
        return chart.figure()

    def _charts(self) -> Charts:
        from genbench.report import charts

        return charts(self.records, self.folder)

    def samples(self, entry: str, seed: int | None = None) -> Samples:
        """The scored samples of an entry and seed (by default its first seed); for ``real``, some
        samples of the reference. Raises ``UnknownName``; ``DataError`` if there are none."""
        from genbench.data import open_samples

        runs = {r.entry: [x for x in self.records if x.entry == r.entry] for r in self.records}
        if entry not in runs:
            raise UnknownName("entry", entry, runs)
        chosen = [r for r in runs[entry] if seed is None or r.seed == seed]
        if not chosen:
            raise UnknownName(f"seed of {entry}", str(seed), [str(r.seed) for r in runs[entry]])
        stored = [record for record in chosen if "samples" in record.files]
        if not stored:
            raise DataError(f"{entry}: no samples, since the run {chosen[0].status}")
        return open_samples(str(self.folder / stored[0].files["samples"]), Path())

    def _repr_markdown_(self) -> str:
        return self.table()._repr_markdown_()

    def __repr__(self) -> str:
        entries = dict.fromkeys(r.entry for r in self.records if not r.is_baseline)
        counts = ", ".join(f"{count} {status}" for status, count in self.status.items())
        return f"<Results of {len(entries)} entries in {self.folder}: {counts}>"


def load(folder: str | Path) -> Results:
    """The results that a run left in its folder.

    Raises ``DataError`` if it holds none; ``store.Damaged`` if a file has changed since.
    """
    folder = Path(folder).absolute()
    path = folder / SUITE
    if not sealed(folder).get(SUITE, True):
        raise Damaged(f"{path} is damaged: its checksum is not the one in {MARKER}")
    return Results(read_records(folder), folder, Suite.from_toml(path) if path.is_file() else None)
