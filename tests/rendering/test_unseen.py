"""Characters that a reader would not see, or that would move what he sees, reach no format raw."""

from __future__ import annotations

import json
import sys
import unicodedata
from pathlib import Path

import pytest
from example import make_record, outputs, scores_of

from genbench.analysis.comparison import document
from genbench.rendering import FORMATS, render
from genbench.rendering.unseen import visible
from genbench.report import write_report
from genbench.store.records import Record, read_records, write_records

NAMES = {
    "colour": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;mine\x07",
    "cursor": "over\rwritten\x08",
    "one-byte escape": "\x9b31m",
    "right to left": "model\u202egnp.exe",
    "isolate": "\u2066a\u2069",
    "no width": "D\u200bD\u2060P\ufeffM",
    "line": "a\u2028b\u2029c",
    "tag": "a\U000e0041",
    "delete": "a\x7fb",
    "nothing": "a\x00b",
}


def hidden(character: str) -> bool:
    return (
        unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        and character not in "\t\n"
    )


def test_every_hidden_character_is_shown_as_its_escape_in_json() -> None:
    """Against Unicode's own categories; an assigned one that a later Unicode adds shows here."""
    for number in range(sys.maxunicode + 1):
        character = chr(number)
        shown = visible(character)
        if hidden(character):
            assert all(" " < c < "\x7f" for c in shown), hex(number)
            assert json.loads(f'"{shown}"') == character
        elif unicodedata.category(character) != "Cn":  # which a later Unicode has
            assert shown == character, hex(number)


def records(name: str) -> list[Record]:
    scores = {
        key: {"value": value, "low": None, "high": None}
        for key, value in scores_of(0.1, 0.9, 0.8, 0.0).items()
    }
    run = make_record(
        name, 0, suite=name, model=name, dataset=name, scores=scores, outputs=outputs(),
        protocol={"samples": 5, "extractor": name, "reference": name},
        conditions={"options": {name: name}, "sample": {name: name}, "examples": 5, "device": name},
    )  # fmt: skip
    return [run, make_record(f"{name}!", 0, status="failed", reason=name, suite=name)]


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_no_format_gets_one(name: str, tmp_path: Path) -> None:
    found = records(name)
    texts = {form: render(document(found), form) for form in FORMATS}
    write_records(tmp_path, found)
    write_report([tmp_path], tmp_path / "page.html")
    texts["report"] = (tmp_path / "page.html").read_bytes().decode()
    for form, text in texts.items():
        assert not [c for c in text if hidden(c)], form
        assert visible(name).split("\\")[0][:1] in text
    assert json.loads(texts["json"])[0]["entry"] == name
    assert read_records(tmp_path)[0].entry == name


def test_two_names_that_look_the_same_are_told_apart() -> None:
    both = [*records("DDPM"), *records("DD\u200bPM")]
    assert "DD\\u200bPM" in render(document(both), "terminal")


def test_a_link_and_a_group_are_no_markup() -> None:
    from genbench.analysis.document import Cell, Column, Document, Row, Section, Table

    cell = Cell("a", link="https://x/)<script>(alert`1`)")
    table = Table((Column("a", "a"), Column("b", "b", group="<b>x")), (Row((cell, cell)),))
    text = render(Document((Section("t", (table,)),), None), "markdown")
    assert "<script>" not in text
    assert "[a](https://x/%29%3Cscript%3E%28alert%601%60%29)" in text
    assert "\\<b\\>x" in text
