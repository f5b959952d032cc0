"""Files of rows: what a line holds, and the line that every mistake names."""

from __future__ import annotations

from pathlib import Path

import pytest

from genbench.api.errors import DataError
from genbench.io.rows import read_rows

HOSTILE = [
    "a \x00 b",
    "\u202eright to left",
    "🦔🏽‍♀️ é",
    "x" * 10_000,
    "<script>alert(1)</script>",
    "line\u2028separator",
]


def written(tmp_path: Path, name: str, content: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_objects_and_the_lines_that_they_are_in(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", '\ufeff{"text": "one"}\r\n\n{"text": "two", "n": 3}\n')
    rows = read_rows(path)
    assert [row.fields for row in rows] == [{"text": "one"}, {"text": "two", "n": 3}]
    assert [row.where for row in rows] == [f"{path}:1", f"{path}:3"]


def test_a_table_with_quotes(tmp_path: Path) -> None:
    """By RFC 4180: a comma, a quotation mark and an end of line within quotes."""
    path = written(tmp_path, "a.csv", 'text,n\r\n"one, ""two""\nthree",1\r\nfour,2\r\n')
    rows = read_rows(path)
    assert [row.fields for row in rows] == [
        {"text": 'one, "two"\nthree', "n": "1"},
        {"text": "four", "n": "2"},
    ]
    assert [row.where for row in rows] == [f"{path}:2", f"{path}:4"]


def test_quotation_marks_between_tabs_are_characters(tmp_path: Path) -> None:
    """As in line 1,562 of PartiPrompts."""
    line = '"G I G G L E" painted in thick colorful lettering\tIllustrations\n'
    path = written(tmp_path, "a.tsv", f"Prompt\tCategory\n{line}")
    (row,) = read_rows(path)
    assert row.text("Prompt") == '"G I G G L E" painted in thick colorful lettering'


@pytest.mark.parametrize("text", HOSTILE, ids=["nul", "rtl", "emoji", "long", "html", "u2028"])
@pytest.mark.parametrize("suffix", ["jsonl", "csv", "tsv"])
def test_hostile_text_stays_as_it_is(tmp_path: Path, text: str, suffix: str) -> None:
    import json

    content = json.dumps({"text": text}) if suffix == "jsonl" else f"text\n{text}\n"
    (row,) = read_rows(written(tmp_path, f"a.{suffix}", content))
    assert row.text("text") == text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.jsonl",
            '{"text": "a"}\n{"text"\n',
            ":2: not JSON (Expecting ':' delimiter at column 8)",
        ),
        ("a.jsonl", '["a"]', ":1: not a JSON object"),
        ("a.jsonl", "[" * 100_000, ":1: not JSON that can be read"),
        ("a.jsonl", '{"a": ' + "1" * 5000 + "}", ":1: not JSON that can be read"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "\xff"}\n', ":2: not UTF-8"),
        ("a.jsonl", "\n\n", ": the file has no rows"),
        ("a.jsonl", "", ": the file is empty"),
        ("a.csv", "text,n\na\n", ":2: 1 fields under 2 headings"),
        ("a.csv", "text,text\na,b\n", ":1: two columns have one name"),
        ("a.csv", 'text\n"a"b\n', ":2: ',' expected after '\"'"),
        ("a.csv", 'text\n"a\n', ":2: unexpected end of data"),
        ("a.csv", "text\n" + "a" * 200_000, ":2: field larger than field limit (131072)"),
        ("a.csv", "text\n", ": the file has no rows"),
    ],
)
def test_what_is_not_of_the_format_is_named(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    path = written(tmp_path, name, content)
    with pytest.raises(DataError) as caught:
        read_rows(path)
    assert str(caught.value).startswith(f"{path}{message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("null", "'text' is NoneType, not a text"),
        ('" \\t"', "'text' is empty"),
        ('"\\ud800"', "'text' holds half of a surrogate pair"),
    ],
)
def test_what_is_no_text_is_named(tmp_path: Path, value: str, message: str) -> None:
    path = written(tmp_path, "a.jsonl", f'{{"text": {value}}}')
    (row,) = read_rows(path)
    with pytest.raises(DataError) as caught:
        row.text("text")
    assert str(caught.value).startswith(f"{path}:1: {message}")
    with pytest.raises(DataError, match=f"{path}:1: no 'txet'; did you mean 'text'?"):
        row.text("txet")
