"""The charts of the page by name, each as a figure and as a file."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from genbench.analysis.columns import Quantity, headline
from genbench.analysis.comparison import Comparison, comparison, rows_of
from genbench.analysis.diagnostics import training_groups
from genbench.analysis.entry_runs import EntryRuns, real_baseline
from genbench.analysis.rankings import medians
from genbench.analysis.summary import ordered
from genbench.api.errors import DataError, UnknownName
from genbench.report.chart import METADATA, Chart, encoded
from genbench.report.curves import snapshot_curves
from genbench.report.diagnostics import families
from genbench.report.intervals import intervals_chart
from genbench.report.planes import Plane, quality_planes, traded_planes
from genbench.store import write_bytes
from genbench.store.records import Record, read_records

FORMATS = tuple(METADATA)


@dataclass(frozen=True)
class Charts:
    """The charts about some records."""

    by_name: Mapping[str, Chart]
    """In the order of the page."""
    missing: Sequence[str]
    """A line for each history that cannot be drawn."""

    def chosen(self, names: Sequence[str] = ()) -> list[Chart]:
        """Those of that name; all, if there are no names. Raises ``UnknownName``, and
        ``DataError`` if there is no chart at all."""
        if not self.by_name:
            raise DataError("no charts: no run has a score, a scored snapshot or a stored history")
        for name in names:
            if name not in self.by_name:
                raise UnknownName("chart", name, self.by_name)
        return [self.by_name[name] for name in dict.fromkeys(names or self.by_name)]


def charts(records: Sequence[Record], folder: Path = Path()) -> Charts:
    """Every chart of the page about records whose files are given from ``folder`` or absolutely.

    A name says what is drawn, whatever else there is: ``intervals``, ``precision-recall``,
    ``frechet-distance-against-nfe``, ``frechet-distance-along-training``, ``training-loss-ddpm``.
    A chart under the second scoring protocol of the page ends in ``-protocol-2``, and so on.

    Raises ``store.Damaged`` where a history is not as it was written.
    """
    records = [located(record, folder) for record in records]
    compared = comparison(records)
    rows = rows_of(records, compared)
    colours = palette([*(each.entry_runs for each in compared), rows])
    found = []
    for draw in (_intervals_of, _figures_of):  # the page begins with the intervals of all
        for number, each in enumerate(compared, start=1):
            charts = draw(each, colours)
            found += charts if number == 1 else [_of_protocol(chart, number) for chart in charts]
    trained, missing = families(records, rows, colours)
    found += [chart for family in trained for chart in family.charts]
    return Charts(_by_name(found), missing)


def write_plots(
    folders: Sequence[Path], out: Path, names: Sequence[str] = (), format: str = "pdf"
) -> Iterator[str]:
    """Write the charts about the records of ``folders`` into the folder ``out``, ``NAME.FORMAT``
    each; all, if there are no ``names``. Other files there are left alone. Equal records give equal
    bytes. Gives a line for each file once it is written, and one each if histories
    cannot be drawn, or if the font lacks characters of names.

    Raises ``UnknownName`` for a name or a ``format`` that is not one of ``FORMATS``, ``DataError``
    where a folder holds no records or nothing can be drawn, ``store.Damaged`` where a file is not
    as it was written, ``store.CannotWrite`` where ``out`` cannot be; before anything is written,
    but for the last.
    """
    if format not in FORMATS:
        raise UnknownName("format", format, FORMATS)
    records = [located(each, folder) for folder in folders for each in read_records(folder)]
    found = charts(records)
    chosen = found.chosen(names)
    return _written(chosen, found.missing, out, format)


def _written(
    chosen: Sequence[Chart], missing: Sequence[str], out: Path, format: str
) -> Iterator[str]:
    lacking: dict[str, None] = {}
    for chart in chosen:
        path = out / f"{chart.name}.{format}"
        with _without_glyphs(lacking):
            data = encoded(chart.figure(), format)
        write_bytes(path, data)
        yield f"{path} written: {chart.label}"
    if lacking and format != "svg":  # which holds text, for the fonts of whoever shows it
        characters = " ".join(lacking)
        yield f"boxes in place of {characters}, which the font lacks; not so with the format svg"
    if missing:
        others = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
        yield f"not drawn along training: {missing[0]}{others}"


@contextmanager
def _without_glyphs(lacking: dict[str, None]) -> Iterator[None]:
    """Collects the characters for which the font has no glyph: matplotlib warns of each, each time
    that it draws or measures it. Other warnings are given on."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for each in caught:
        glyph = re.match(r"Glyph (\d+) .* missing from", str(each.message))
        if glyph:
            lacking[chr(int(glyph[1]))] = None
        else:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)


def planes_of(compared: Comparison, colours: Mapping[str, int]) -> list[Plane]:
    """Quality against each cost, and what is traded for it, as far as they are known."""
    rows, quantities = compared.entry_runs, compared.quantities
    return [
        *quality_planes(rows, quantities, _score(compared), colours),
        *traded_planes(rows, quantities, colours),
    ]


def curves_of(compared: Comparison, colours: Mapping[str, int]) -> dict[str, Chart]:
    """The headline score along training, by what heads it, of the weights that have snapshots."""
    score, trained = _score(compared), training_groups(compared.entry_runs)
    real = real_baseline(compared.entry_runs)
    curves = {
        f"{score.heading}, {words} weights": snapshot_curves(trained, real, colours, weights, score)
        for weights, words in (("ema", "EMA"), ("raw", "raw"))
    }
    return {heading: curve for heading, curve in curves.items() if curve}


def located(record: Record, folder: Path) -> Record:
    """The record with absolute paths of its files."""
    return replace(record, files={name: str(folder / path) for name, path in record.files.items()})


def palette(tables: Sequence[Sequence[EntryRuns]]) -> dict[str, int]:
    """By label, the index of its colour and mark, which an entry keeps in all ``tables``."""
    found: dict[str, int] = {}
    for row in (row for rows in tables for row in rows if not row.is_baseline):
        # In a table of all protocols, a label may say more than the name of the entry.
        found.setdefault(row.label, found.get(row.records[0].entry, len(found)))
    return found


def _score(compared: Comparison) -> Quantity:
    records = [record for row in compared.entry_runs for record in row.records]
    return headline(records, compared.protocol)


def _intervals_of(compared: Comparison, colours: Mapping[str, int]) -> list[Chart]:
    """All entries; the page has a bar of each beside its name, and only of the best."""
    score = _score(compared)
    rows = ordered(compared, medians(compared.entry_runs, score))
    chart = intervals_chart(rows, score, colours)
    return [] if chart is None else [chart]


def _figures_of(compared: Comparison, colours: Mapping[str, int]) -> list[Chart]:
    planes = [plane.chart for plane in planes_of(compared, colours)]
    return [*planes, *curves_of(compared, colours).values()]


def _of_protocol(chart: Chart, number: int) -> Chart:
    name, label = f"{chart.name}-protocol-{number}", f"{chart.label}, protocol {number}"
    return replace(chart, name=name, label=label)


def _by_name(found: Sequence[Chart]) -> dict[str, Chart]:
    """Models whose names differ only in what a chart's name leaves out are numbered."""
    named: dict[str, Chart] = {}
    taken = {chart.name for chart in found}
    for chart in found:
        name, number = chart.name, 1
        while name in named or (number > 1 and name in taken):
            number += 1
            name = f"{chart.name}-{number}"
        named[name] = replace(chart, name=name)
    return named
