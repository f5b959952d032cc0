"""The records of an output folder: every alteration is found and named."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from genbench import store
from genbench.api.errors import DataError
from genbench.registry.outputs import known
from genbench.store import Damaged, records
from genbench.store.records import RECORDS, Outcome, Record, read_records, write_records

OUTPUTS = known()

ROWS = [
    Record(
        "s", "A, σ", "m", "m", "d", seed, "failed", reason="line\u2028and\x85line", scores=scores
    )
    for seed, scores in ((0, {}), (1, {"x": {"value": 0.1, "low": None, "high": float("nan")}}))
]


def test_records_come_back(tmp_path: Path) -> None:
    records.write_records(tmp_path, ROWS)
    back = records.read_records(tmp_path)
    # As text: NaN is not equal to itself, and a list stands for a tuple.
    assert [json.dumps(asdict(row)) for row in back] == [json.dumps(asdict(row)) for row in ROWS]


def test_a_flipped_bit_in_every_byte_is_found_and_its_line_named(tmp_path: Path) -> None:
    records.write_records(tmp_path, ROWS)
    path = tmp_path / RECORDS
    whole = path.read_bytes()
    for index in range(len(whole)):
        flipped = bytearray(whole)
        flipped[index] ^= 1 << index % 8
        path.write_bytes(flipped)
        # What replaces the end of a line damages that line.
        line = whole.count(b"\n", 0, index) + 1
        with pytest.raises(Damaged) as caught:
            records.read_records(tmp_path)
        assert str(caught.value).startswith(f"{path}:{line} is damaged: ")


def test_every_cut_is_found(tmp_path: Path) -> None:
    """Between two lines by the marker, which nothing but a whole folder has."""
    records.write_records(tmp_path, ROWS)
    records.seal(tmp_path, "s", [RECORDS])
    path = tmp_path / RECORDS
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(Damaged, match=RECORDS):
            records.read_records(tmp_path)


def test_sealed_files_are_those_that_were_sealed(tmp_path: Path) -> None:
    for name in "abc":
        store.write_text(tmp_path / name, name)
    records.seal(tmp_path, "s", "abc")
    assert records.sealed(tmp_path) == {"a": True, "b": True, "c": True}
    store.write_text(tmp_path / "b", "a")
    (tmp_path / "c").unlink()
    assert records.sealed(tmp_path) == {"a": True, "b": False, "c": False}
    records.seal(tmp_path, "s")
    assert records.sealed(tmp_path) == {}


def test_a_checksum_is_required(tmp_path: Path) -> None:
    records.write_records(tmp_path, ROWS[:1])
    row = json.loads((tmp_path / RECORDS).read_text(encoding="utf-8"))
    del row["checksum"]
    (tmp_path / RECORDS).write_text(json.dumps(row) + "\n", encoding="utf-8")
    with pytest.raises(Damaged, match=r":1 is damaged: not a record with its checksum"):
        records.read_records(tmp_path)


def test_another_schema_is_told(tmp_path: Path) -> None:
    row = {"schema": 7, "novelty": 1}
    line = json.dumps({**row, "checksum": store.fingerprint(row)})
    (tmp_path / RECORDS).write_text(line + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r":1: schema 7; this genbench reads 2"):
        records.read_records(tmp_path)


def scored(distance: float, precision: float | None, coverage: float, **fields: Any) -> Record:
    values = {"frechet_distance": distance, "precision": precision, "coverage": coverage}
    given = {name: value for name, value in values.items() if value is not None}
    fixed: dict[str, Any] = {"suite": "s", "entry": "E", "model": "m", "trains": "m", "seed": 0}
    fixed |= {"dataset": "d", "status": "done", "outputs": {name: OUTPUTS[name] for name in given}}
    whole = {name: {"value": value, "low": None, "high": None} for name, value in given.items()}
    fixed |= {"scores": whole}
    return Record(**{**fixed, **fields})


REAL_ROW = scored(0.01, 0.9, 0.8)


@pytest.mark.parametrize(
    ("run", "status"),
    [
        (scored(0.02, 0.8, 0.7), "done"),
        (scored(0.02, 0.8, 0.19), "collapsed"),
        (scored(0.02, 0.8, 0.2), "done"),
        (scored(0.02, None, 0.1), "collapsed"),
        (scored(5.0, 0.08, 0.01), "not trained"),
        (scored(0.101, 0.0, 0.01), "not trained"),
        (scored(0.1, 0.0, 0.01), "collapsed"),  # near the floor
        (scored(5.0, 0.091, 0.01), "collapsed"),
        (scored(5.0, 0.08, 0.01, status="diverged"), "diverged"),
        (scored(0.02, 0.8, 0.3, protocol={"collapse_below": 0.5}), "collapsed"),
        (scored(0.02, 0.2, 0.7, protocol={"collapse_score": "precision"}), "collapsed"),
        (scored(0.02, 0.08, 0.01, protocol={"headline": "kernel_distance"}), "collapsed"),
    ],
)
def test_what_became_of_a_run(run: Record, status: str) -> None:
    assert run.outcome(real=REAL_ROW).status == status
    value = run.value("frechet_distance") if status != "diverged" else None
    assert run.outcome("frechet_distance", REAL_ROW).value == value


def test_a_run_alone_is_neither_collapsed_nor_untrained() -> None:
    run = scored(5.0, 0.0, 0.0)
    assert run.outcome("frechet_distance") == Outcome("done", 5.0)
    assert run.outcome("recall") == Outcome("missing")
    assert replace(run, status="failed").outcome("recall") == Outcome("failed")


def test_outputs_come_back_from_the_file(tmp_path: Path) -> None:
    write_records(tmp_path, [REAL_ROW])
    assert read_records(tmp_path)[0].outputs == REAL_ROW.outputs
