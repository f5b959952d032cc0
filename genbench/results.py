"""Record: one tidy row for one entry and seed; and the store that keeps them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench.errors import DataError
from genbench.storage import write_text

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
RECORDS = "records.jsonl"


@dataclass(frozen=True)
class Record:
    """What one entry with one seed came to. JSON-like throughout; missing knowledge is ``None``."""

    suite: str
    entry: str
    model: str
    """As the suite names it, ``ddim`` say."""
    trains: str | None
    """The model that was trained for it, ``ddpm`` say; ``None`` for the real row."""
    dataset: str
    seed: int | None
    """``None`` for the real row."""
    status: str
    """``done``, ``diverged`` (a result, scored at its last good snapshot), ``failed`` (a fault),
    ``skipped`` (cannot fit)."""
    reason: str | None = None
    """Why, where the status is not ``done``."""
    scores: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    """By output name: ``value``, ``low``, ``high``; the real row adds ``deviation`` over draws."""
    better: Mapping[str, bool] = field(default_factory=dict)
    """By output name: whether higher is better."""
    skipped_metrics: Mapping[str, str] = field(default_factory=dict)
    """By output name: why there is no score."""
    protocol: Mapping[str, Any] = field(default_factory=dict)
    """The scoring protocol: ``extractor``, ``reference``, ``train``, ``samples``, ``shape``,
    ``levels``, ``resize``, ``metrics`` (name → version). Equal protocols may share a column."""
    conditions: Mapping[str, Any] = field(default_factory=dict)
    """The run conditions: ``options``, ``sample`` (sampling options), ``weights`` (``ema`` or
    ``raw``), ``snapshot`` (images seen by the scored weights), ``images`` (the budget), ``batch``,
    ``ema_halflife``, ``precision``, ``device``, ``threads``, ``torch``, ``genbench``,
    ``platform``."""
    cost: Mapping[str, float | None] = field(default_factory=dict)
    """``parameters`` (of all players), ``sampling_parameters`` (of those called in sampling),
    ``training_flops``, ``training_seconds``, ``nfe``, ``sampling_flops`` (a sample),
    ``seconds_per_sample`` (the short stage that runs alone)."""
    stability: Mapping[str, Any] = field(default_factory=dict)
    """What ``genbench.metrics.stability`` returns: ``first_nonfinite_step``; by player
    ``loss_spikes``, ``gradient_tail``; by weights (``ema``, ``raw``) ``last_over_best``,
    ``longest_fall``."""
    snapshots: Sequence[Mapping[str, Any]] = ()
    """Scores along training: ``{"images", "weights", "scores": {name: value}}``."""
    identities: Mapping[str, str] = field(default_factory=dict)
    """``training``, ``sampling``, ``scoring``."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Relative to the output folder: ``history`` (CSV), ``samples`` (safetensors)."""
    schema: int = SCHEMA

    def value(self, output: str) -> float | None:
        """The score of that name, where there is one."""
        score = self.scores.get(output)
        return None if score is None else score["value"]


def write_records(folder: Path, records: Iterable[Record]) -> None:
    """Replace ``records.jsonl`` in ``folder``."""
    lines = [json.dumps(asdict(record), ensure_ascii=False) for record in records]
    write_text(folder / RECORDS, "".join(line + "\n" for line in lines))


def read_records(folder: Path) -> list[Record]:
    """The records of an output folder. Raises ``DataError`` where it holds none."""
    path = folder / RECORDS
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DataError(f"{folder} holds no {RECORDS}: not a finished genbench run") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    return [_parse(path, number, line) for number, line in enumerate(lines, start=1)]


def _parse(path: Path, number: int, line: str) -> Record:
    try:
        row = json.loads(line)
        schema = row["schema"]
        if schema != SCHEMA:
            raise DataError(f"{path}:{number}: schema {schema}; this genbench reads {SCHEMA}")
        return Record(**row)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}:{number}: not a record ({error})") from error


def to_frame(records: Iterable[Record]) -> pd.DataFrame:
    """One row a measurement: the record's provenance, ``metric``, ``value``, ``low``, ``high``."""
    import pandas as pd

    provenance = ("suite", "entry", "model", "trains", "dataset", "seed", "status")
    rows = [
        {name: getattr(record, name) for name in provenance} | {"metric": metric, **score}
        for record in records
        for metric, score in record.scores.items()
    ]
    return pd.DataFrame(rows, columns=[*provenance, "metric", "value", "low", "high"])
