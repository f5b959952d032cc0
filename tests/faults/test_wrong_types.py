"""Records whose checksums are right and whose types are wrong: read, or refused in one line."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest
from corridor import call
from example import make_record

from genbench.api.errors import DataError, PluginError
from genbench.store import fingerprint
from genbench.store.records import RECORDS, Record, checked, read_records, write_records

COMMANDS = ("table", "report", "verdict", "leaderboard", "compare")
VALUES: dict[str, Any] = {"null": None, "text": "x", "list": [1], "number": 5, "object": {"x": 1}}
INSIDE: dict[tuple[str | int, ...], Any] = {
    ("scores", "frechet_distance"): 0.1,
    ("scores", "frechet_distance", "value"): "x",
    ("scores", "coverage", "low"): [0],
    ("outputs", "coverage"): None,
    ("outputs", "coverage", "heading"): 5,
    ("outputs", "coverage", "decimals"): 0.5,
    ("outputs", "coverage", "names"): [],
    ("skipped_metrics", "memorized"): 5,
    ("protocol", "samples"): "x",
    ("protocol", "shape"): 8,
    ("protocol", "metrics"): [],
    ("protocol", "headline"): 5,
    ("protocol", "collapse_below"): "x",
    ("conditions", "options"): [],
    ("conditions", "sample"): "x",
    ("conditions", "examples"): "x",
    ("conditions", "codec"): {},
    ("cost", "nfe"): "x",
    ("stability", "loss_spikes"): 5,
    ("stability", "last_over_best"): {"ema": "x"},
    ("snapshots", 0): 5,
    ("snapshots", 0, "scores"): None,
    ("snapshots", 0, "examples"): None,
    ("identities", "training"): 5,
    ("files", "samples"): 5,
    ("seed",): 10**400,
    ("faults", 0): 5,
}
"""What was in a table of a record's own."""


@pytest.fixture(scope="module")
def rows(example_records: list[Record]) -> list[dict[str, Any]]:
    """A real row, four runs and a failed one, without files, so that a page is quick."""
    chosen = [*example_records[:5], example_records[-1]]
    return json.loads(json.dumps([{**asdict(record), "files": {}} for record in chosen]))  # type: ignore[no-any-return]


def write(folder: Path, rows: list[dict[str, Any]]) -> None:
    folder.mkdir(exist_ok=True)
    lines = [json.dumps({**r, "checksum": fingerprint(r)}, ensure_ascii=False) for r in rows]
    (folder / RECORDS).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def arguments(command: str, folder: Path, whole: Path) -> list[str | Path]:
    return {
        "table": ["table", folder],
        "report": ["report", folder, "--out", folder / "page.html"],
        "verdict": ["verdict", folder],
        "leaderboard": ["leaderboard", "celeba64", folder],
        "compare": ["compare", whole, folder],
    }[command]


def tried(folder: Path, whole: Path, number: int) -> None:
    """Every command works on ``folder``, or, as it cannot be read, says so in one line."""
    try:
        read_records(folder)
        commands: tuple[str, ...] = COMMANDS
    except DataError:
        commands = (COMMANDS[number % len(COMMANDS)],)
    for command in commands:
        done = call(*arguments(command, folder, whole))  # a traceback fails here
        if done.exit_code == 2:
            assert done.stderr.count("\n") == 1, done.stderr
        else:
            assert done.exit_code in (0, 3), done.output
            assert len(commands) > 1


def test_a_field_of_any_type(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    write(tmp_path / "whole", rows)
    number = 0
    for field in fields(Record):
        for value in VALUES.values():
            changed = [dict(row) for row in rows]
            changed[1][field.name] = value
            write(tmp_path / "changed", changed)
            tried(tmp_path / "changed", tmp_path / "whole", number)
            number += 1
    assert number > 68


@pytest.mark.parametrize("path", INSIDE, ids=lambda path: ".".join(map(str, path)))
def test_what_is_inside_is_refused_by_its_place(
    path: tuple[str | int, ...], rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    changed = copy.deepcopy(rows)
    inner: Any = changed[1]
    for key in path[:-1]:
        inner = inner[key]
    if path == ("faults", 0):
        inner.append(None)
    inner[path[-1]] = INSIDE[path]
    write(tmp_path, changed)
    with pytest.raises(DataError) as caught:
        read_records(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / RECORDS}:2: {path[0]}")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("path", [("scores", "coverage", "value"), ("conditions", "options", "x")])
def test_a_number_that_is_none_to_compute_with(
    path: tuple[str, ...], rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    changed = copy.deepcopy(rows)
    inner: Any = changed[1]
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = 10**400
    write(tmp_path, changed)
    with pytest.raises(DataError, match=r"records.jsonl:2: a number has too many digits"):
        read_records(tmp_path)
    inner[path[-1]] = None
    changed[1]["reason"] = f"got {10**400}"
    write(tmp_path, changed)
    assert read_records(tmp_path)[1].reason == changed[1]["reason"]


def test_a_plugin_that_gives_what_cannot_be_recorded(example_records: list[Record]) -> None:
    """Its own row fails, in the job: the file of records stays one that can be read."""
    given = {**example_records[1].scores, "odd_score": {"value": "high", "low": None, "high": None}}
    with pytest.raises(PluginError, match=r"scores\.odd_score\.value"):
        checked(replace(example_records[1], scores=given))  # type: ignore[arg-type]
    assert checked(example_records[1]) is example_records[1]


def test_what_no_file_holds_of_a_name_is_replaced(tmp_path: Path) -> None:
    """A lone surrogate, which a plugin may put into a heading."""
    record = make_record("a\udcffb", 0)
    write_records(tmp_path, [record])
    assert read_records(tmp_path)[0].entry == "a?b"
