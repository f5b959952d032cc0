"""Records: one for each entry and seed; and the output folder that holds them."""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NotRequired

from pydantic_core import from_json  # which is quicker than json's, and holds equal texts once
from typing_extensions import TypedDict  # typing's has no docstrings for pydantic before 3.12

from genbench.api import CONTROL, REAL, RECONSTRUCTION, Estimate, Output
from genbench.api.errors import DataError, PluginError
from genbench.store import (
    Damaged,
    fingerprint,
    read_metadata,
    read_regular,
    write_metadata,
    write_text,
)
from genbench.store.artefacts import whole_characters
from genbench.store.protocol import criteria
from genbench.store.record_fields import (
    ConditionFields,
    ProtocolFields,
    SnapshotFields,
    StabilityFields,
    Whole,
)

if TYPE_CHECKING:
    import pandas as pd
    from pydantic import TypeAdapter, ValidationError

SCHEMA = 2
DESCRIBED = {"use_attribute_docstrings": True}
"""For pydantic: the docstring of a field becomes its description in the JSON Schema."""

RECORDS = "records.jsonl"
MARKER = "genbench.json"
"""The file that names the suite of an output folder and, once they are written, the checksums of
its files."""


OTHER_JOBS = ("sensitivity ", "reproduce ")
"""The first words of the names of suites that were made by other commands than ``run``."""


class ScoreValue(TypedDict):
    """One score of one run."""

    value: float | None
    low: float | None
    """Ends of its 95 % interval over draws of the samples; ``null`` if there is none."""
    high: float | None
    deviation: NotRequired[float | None]
    """Of the real row: over its draws."""
    note: NotRequired[str | None]
    """A caution for the reader."""


ScoreValue.__pydantic_config__ = DESCRIBED  # type: ignore[attr-defined]
Output.__pydantic_config__ = DESCRIBED  # type: ignore[attr-defined]


def score_of(estimate: Estimate) -> ScoreValue:
    """An estimate as records hold it."""
    return ScoreValue(
        value=estimate.value, low=estimate.low, high=estimate.high, note=estimate.note
    )


PRECISION = 0.1
DISTANCE = 10.0
"""A run is "not trained" if its precision is below this share of the real row's, and its distance
above this multiple of the real row's."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run."""

    status: str
    """``done``, ``collapsed``, ``not trained``, ``missing`` (no such score), ``diverged``,
    ``failed``, ``skipped``."""
    value: float | None = None
    """The requested score; given with the first three statuses."""


@dataclass(frozen=True)
class Record:
    """The result of one entry with one seed. All values are JSON-like; an unknown value is
    ``None``."""

    __pydantic_config__: ClassVar = DESCRIBED

    suite: str
    """Its name, or ``sensitivity SUITE``, ``reproduce DIR:ROW``."""
    entry: str
    model: str
    """The model as the suite names it, for example ``ddim``."""
    trains: str | None
    """The model that was trained for it, ``ddpm`` say; ``None`` for the real row and the row of a
    codec."""
    dataset: str
    seed: Whole | None
    """``None`` for the real row and the row of a codec."""
    status: str
    """``done``, ``diverged`` (a result, scored at its last good snapshot), ``failed`` (a fault),
    ``skipped`` (cannot fit)."""
    reason: str | None = None
    """The reason, if the status is not ``done``."""
    note: str = ""
    """What the suite says of the entry."""
    scores: Mapping[str, ScoreValue] = field(default_factory=dict)
    """By output name."""
    outputs: Mapping[str, Output] = field(default_factory=dict)
    """By output name, in the order of the suite: the metric's description of the output."""
    skipped_metrics: Mapping[str, str] = field(default_factory=dict)
    """By output name: the reason why there is no score."""
    faults: Sequence[str] = ()
    """Names of the outputs, final or along training, that are missing because their metric
    failed."""
    protocol: ProtocolFields = field(default_factory=dict)
    """The scoring protocol: ``extractor``, ``reference``, ``train``, ``samples``, ``shape``,
    ``levels``, ``resize``, ``metrics`` (name → version). Equal protocols may share a column."""
    conditions: ConditionFields = field(default_factory=dict)
    """The run conditions: ``options``, ``sample`` (sampling options), ``obeys`` (the conditions of
    samples that the model obeys, as ``label``), ``weights`` (``ema`` or ``raw``), ``snapshot``
    (examples seen by the scored weights), ``examples`` (the budget), every option of ``[train]``,
    ``device``, ``devices``, ``torch``, ``genbench``, ``platform``."""
    cost: Mapping[str, float | None] = field(default_factory=dict)
    """``parameters`` (of all players), ``sampling_parameters`` (of those called in sampling),
    ``training_flops``, ``training_seconds``, ``nfe``, ``sampling_flops`` (a sample),
    ``seconds_per_sample`` (the short stage that runs alone)."""
    stability: StabilityFields = field(default_factory=dict)
    """What ``genbench.training.stability`` returns: ``first_nonfinite_step``; by player
    ``loss_spikes``, ``gradient_tail``; by weights (``ema``, ``raw``) ``last_over_best``,
    ``max_drawdown``, ``mean_along_training``, ``examples_to_threshold``."""
    snapshots: Sequence[SnapshotFields] = ()
    """Scores along training: ``{"examples", "weights", "scores": {name: value}}``."""
    identities: Mapping[str, str] = field(default_factory=dict)
    """``training``, ``sampling``, ``scoring``."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Relative to the output folder: ``history`` (CSV), ``samples``, ``neighbours`` (samples and
    their nearest training samples), ``forward`` and ``reverse`` (trajectories; safetensors)."""
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        """Outputs read from a file are mappings."""
        outputs = {
            name: output if isinstance(output, Output) else Output(**output)
            for name, output in self.outputs.items()
        }
        object.__setattr__(self, "outputs", outputs)

    @property
    def is_baseline(self) -> bool:
        """Whether it belongs to no entry: the real row, a control, or the row of a codec."""
        return self.entry == REAL or self.entry.startswith((CONTROL, RECONSTRUCTION))

    @property
    def command(self) -> str:
        """The command that ran it, without its options."""
        return (
            f"genbench {self.suite if self.suite.startswith(OTHER_JOBS) else f'run {self.suite}'}"
        )

    def value(self, output: str) -> float | None:
        """The score of that name, or ``None``; for a run that diverged, the score at its last good
        snapshot."""
        score = self.scores.get(output)
        return None if score is None else score["value"]

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON holds it. Its parts are not copied."""
        return {**vars(self), "outputs": {name: vars(of) for name, of in self.outputs.items()}}

    @property
    def completed(self) -> bool:
        """Whether it neither diverged nor failed nor was skipped."""
        return self.status == "done"

    def outcome(self, score: str | None = None, real: Record | None = None) -> Outcome:
        """The outcome for ``score``, or, without one, of the run as a whole. ``real``: the real
        row, which is needed to recognise two statuses. Both are of completed runs and are decided
        by their final scores:

        - ``not trained``: its precision is under ``PRECISION`` (a tenth) of the real row's, and its
          headline score, if lower is better, over ``DISTANCE`` (ten) times the real row's: neither
          quality nor distribution was learned.
        - ``collapsed``: trained, and its score of collapse is under the share of the real row's
          that its suite says (coverage, under a quarter): most of the data is lost.
        """
        if not self.completed:
            return Outcome(self.status)
        value = None if score is None else self.value(score)
        if score is not None and value is None:
            return Outcome("missing")
        if real is not None and self._not_trained(real):
            return Outcome("not trained", value)
        return Outcome("collapsed" if real is not None and self._low(real) else "done", value)

    def _not_trained(self, real: Record) -> bool:
        if not _under(self.value("precision"), PRECISION, real.value("precision")):
            return False
        headline = criteria(self.protocol).headline
        distance, floor = self.value(headline), real.value(headline)
        if headline not in self.outputs or distance is None or floor is None:
            return False
        return self.outputs[headline].higher_is_better or distance > DISTANCE * max(floor, 0.0)

    def _low(self, real: Record) -> bool:
        by = criteria(self.protocol)
        name = by.collapse_score
        return _under(self.value(name), by.collapse_below, real.value(name))


def _under(value: float | None, share: float, floor: float | None) -> bool:
    return value is not None and floor is not None and value < share * floor


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a line of ``records.jsonl``.

    Its version is the field ``schema``, raised where a field changes its meaning or
    goes; a later genbench may add fields.
    """
    schema = _adapter().json_schema()
    schema["properties"]["schema"]["const"] = SCHEMA
    checksum = {"type": "string", "description": "Of the rest of the line."}
    schema["properties"]["checksum"] = checksum
    schema["required"].append("checksum")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def write_records(folder: Path, records: Iterable[Record]) -> None:
    """Replace ``records.jsonl`` in ``folder``: a JSON object a line, with its own checksum."""
    rows = (whole_characters(record.to_dict()) for record in records)
    write_text(folder / RECORDS, "".join(_line(row) + "\n" for row in rows))


def read_records(folder: Path) -> list[Record]:
    """The records of an output folder. Raises ``DataError`` if it holds none, or those of another
    schema or with values of wrong types; ``Damaged``, naming the line, if they have changed since
    they were written.
    """
    path = folder / RECORDS
    try:
        data = read_regular(path)
        # Not splitlines, for which a reason may hold further ends of lines.
        *lines, rest = data.decode().split("\n")
    except FileNotFoundError:
        raise DataError(f"{folder} holds no {RECORDS}: not a finished genbench run") from None
    except OSError as error:
        raise Damaged(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise Damaged(f"{path}:{number} is damaged: not UTF-8") from error
    seal = sealed(folder).get(RECORDS)
    long_numbers = _LONG_NUMBER in data.translate(_DIGITS_TO_ZERO)
    with _no_collections():
        records = [
            _parse(f"{path}:{number}", line, whole=seal is True, long_numbers=long_numbers)
            for number, line in enumerate(lines, start=1)
        ]
    if rest:
        raise Damaged(f"{path}:{len(lines) + 1} is damaged: cut off")
    # A file cut off between two lines shows only here.
    if seal is False:
        raise Damaged(f"{path} is damaged: its checksum is not the one in {MARKER}")
    return records


@contextmanager
def _no_collections() -> Iterator[None]:
    """While millions of objects are made and none is garbage, of which each search takes longer."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps({**row, "checksum": fingerprint(row)}, ensure_ascii=False)


def _parse(where: str, line: str, whole: bool, long_numbers: bool) -> Record:
    """``whole``: whether the file is known to be as it was written, and its lines need no look.
    ``long_numbers``: whether one of its lines may hold a number that no float holds."""
    try:
        row = from_json(line)
        schema, checksum = row["schema"], row.pop("checksum")
        whole = whole or checksum == fingerprint(row)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(f"{where} is damaged: not a record with its checksum") from error
    if not whole:
        raise Damaged(f"{where} is damaged: its checksum does not agree")
    if schema != SCHEMA:
        raise DataError(f"{where}: schema {schema}; this genbench reads {SCHEMA}")
    from pydantic import ValidationError

    try:
        _adapter().validate_json(line, strict=True)
        if long_numbers:
            json.loads(line, parse_int=_finite)
        return Record(**row)
    except OverflowError:
        raise DataError(f"{where}: a number has too many digits to compute with") from None
    except ValidationError as error:
        raise DataError(f"{where}: {_first(error)}") from None
    except TypeError as error:
        raise DataError(f"{where}: not a record ({error})") from error


_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"0" * 9)
_LONG_NUMBER = b"0" * 300
"""After ``_DIGITS_TO_ZERO``: this takes a 27th of the time of a search for any 300 digits."""


def _finite(digits: str) -> float:
    """Raises ``OverflowError``: pydantic takes such a number for infinity, and Python does not."""
    return int(digits) / 1


def checked(record: Record) -> Record:
    """The record, which can be read again. Raises ``PluginError`` for one with a value that a
    plugin gave and that is of a wrong type."""
    from pydantic import ValidationError

    try:
        _adapter().validate_json(json.dumps(whole_characters(record.to_dict())), strict=True)
    except ValidationError as error:
        raise PluginError(f"what a plugin gave cannot be recorded: {_first(error)}") from None
    return record


def _first(error: ValidationError) -> str:
    """What is wrong with the first field of wrong type, in one line."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"] if part)
    given = repr(first["input"])
    return f"{key}: {first['msg'].lower()}, got {given[:80]}{'…' if len(given) > 80 else ''}"


@cache
def _adapter() -> TypeAdapter[Record]:
    from pydantic import TypeAdapter

    return TypeAdapter(Record)


def seal(folder: Path, suite: str, names: Iterable[str] = ()) -> None:
    """Write the marker of ``folder``: its suite, and the checksums of the files ``names``."""
    files = {name: _sha256(folder / name) for name in names}
    write_metadata(folder / MARKER, {"suite": suite, "files": files})


def sealed(folder: Path) -> dict[str, bool]:
    """By name: whether a sealed file is unchanged. Empty before all files were written. Raises
    ``Damaged`` if the marker itself is damaged.
    """
    marker = read_metadata(folder / MARKER) or {}
    files = marker.get("files", {})
    if not isinstance(files, dict):
        raise Damaged(f"{folder / MARKER} is damaged: it names no files")
    return {name: _sha256(folder / name) == sha256 for name, sha256 in files.items()}


def _sha256(path: Path) -> str | None:
    try:
        return hashlib.sha256(read_regular(path)).hexdigest()
    except OSError:
        return None


PROVENANCE = ("suite", "entry", "model", "trains", "dataset", "seed", "status")


def tidy_rows(records: Iterable[Record]) -> list[dict[str, Any]]:
    """One row for each measurement: the record's provenance, ``metric``, ``value``, ``low``,
    ``high``."""
    return [
        {name: getattr(record, name) for name in PROVENANCE}
        | {"metric": metric}
        | {name: score.get(name) for name in ("value", "low", "high")}
        for record in records
        for metric, score in record.scores.items()
    ]


def to_frame(records: Iterable[Record]) -> pd.DataFrame:
    """``tidy_rows`` as a pandas ``DataFrame``."""
    import pandas as pd

    names = [*PROVENANCE, "metric", "value", "low", "high"]
    frame = pd.DataFrame(tidy_rows(records), columns=names)
    return frame.astype({"seed": "Int64"})  # which the real row has none of
