"""``genbench.reproduce``: a measured row, trained, sampled and scored again from its record."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from genbench import registry
from genbench.analysis import reproduction
from genbench.analysis.document import Document
from genbench.analysis.reproduction import (
    Reproduction,
    changed_conditions,
    recipe,
    reproduced,
    row,
)
from genbench.api.errors import DataError, UnknownName, UsageError
from genbench.devices.hardware import DeviceOptions
from genbench.experiment.context import RunContext
from genbench.experiment.results import Results
from genbench.experiment.run import RunOptions, run
from genbench.store.protocol import protocol_differences
from genbench.store.records import read_records
from genbench.suite import parse


@dataclass(frozen=True)
class ReproductionResults:
    """A repeated row."""

    row: str
    results: Results
    scores: Sequence[Reproduction]
    conditions: Sequence[str]
    """The conditions that differ from those of the measured row, a line each."""

    @property
    def differs(self) -> bool:
        """Whether a score is outside the range that its record predicts."""
        return any(each.outcome == "outside" for each in self.scores)

    def document(self) -> Document:
        """The comparison of the row with its repetition."""
        return reproduction.document(self.row, self.scores, self.conditions)


def reproduce(
    what: str,
    out: str | Path | None = None,
    *,
    scores: Sequence[str] = (),
    **options: Unpack[RunOptions],
) -> ReproductionResults:
    """Run the row ``what``, ``DIR:ROW`` of a finished run, again.

    ``scores``: to compare, by default the suite's first. ``options``: as ``run`` takes them. The
    folder ``out`` is by default ``genbench-reproduce-ROW``. Raises ``UsageError``; ``DataError``
    if the record does not say all that is needed.
    """
    folder, separator, label = what.rpartition(":")
    if not separator or not label or not folder:
        raise UsageError(f"reproduce {what}: write DIR:ROW, as in results/digits-full:EDM")
    before = row(read_records(Path(folder)), label)
    names = list(scores) or list(before[0].outputs)[:1]
    for name in names:
        if name not in before[0].outputs:
            raise UnknownName(f"score of {label}", name, before[0].outputs)
    try:
        content = recipe(before)
    except KeyError as error:
        raise DataError(f"the record of {label} does not say its {error.args[0]}") from None
    registry.add_plugin_files(options.get("plugins", ()))
    suite = parse(f"the record of {label}", {**content, "name": f"reproduce {what}"})
    out = Path(out or "genbench-reproduce-" + re.sub(r"[^\w.-]+", "-", label))
    data_dir = Path(options.get("data_dir", "data"))
    hardware = DeviceOptions.of(options.get("devices", 1)).hardware(data_dir)
    context = RunContext.of(suite, out, hardware)
    different = protocol_differences(before[0].protocol, context.protocol(suite.dataset))
    if different:
        raise DataError(f"the scoring protocol cannot be reproduced: {'; '.join(different)}")
    results = run(suite, out, **options)
    after = [record for record in results.records if record.seed is not None]
    found = [reproduced(before, after, name) for name in names]
    return ReproductionResults(label, results, found, changed_conditions(before[0], after[0]))
