"""The grid of what was asked for: which samples stand in it, and with which marks."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from example import make_record
from html_page import Page
from safetensors.numpy import save

from genbench.report import write_report
from genbench.store import Damaged, write_artefact
from genbench.store.records import Record, write_records

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "‮ right to left",
    "🦊 & \x00 'quotes\"",
    "long " * 2000,
    "long " * 2000 + "other",
]


def stored(path: Path, asked: Sequence[str], facts: Sequence[dict[str, bool]]) -> None:
    samples = np.zeros((len(asked), 1, 8, 8), np.uint8)
    about = {"asked": [*asked], "facts": [*facts], "modality": "image", "levels": 17}
    write_artefact(path, save({"samples": samples}), about)


def run(entry: str, seed: int) -> Record:
    files = {"asked": f"{entry}-{seed}.safetensors"}
    score = {"value": 0.5, "low": None, "high": None, "deviation": None}
    return make_record(
        entry, seed, files=files, scores={"correct": score}, protocol={"extractor": "x"}
    )


def grid(folder: Path, records: Sequence[Record]) -> list[list[str]]:
    """The texts of the cells; nothing if there is no grid."""
    write_records(folder, records)
    write_report([folder], folder / "page.html")
    source = (folder / "page.html").read_text(encoding="utf-8")
    Page(source)  # whose tags are balanced
    _, _, part = source.partition('<div class="asked"')
    rows = re.findall(r"<tr>(.*?)</tr>", part.partition("</table>")[0], re.DOTALL)
    cells = (re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL) for row in rows)
    return [[html.unescape(re.sub(r"<[^>]*>", "", cell)) for cell in row] for row in cells]


def test_cells_hold_the_seeds_with_the_facts_that_do_not_hold(tmp_path: Path) -> None:
    right, wrong = {"count": True, "shape": True}, {"count": False, "shape": False}
    stored(tmp_path / "A-0.safetensors", ["a star", "two stars"], [right, wrong])
    stored(tmp_path / "A-1.safetensors", ["two stars", "a star"], [right, {"count": False}])
    stored(tmp_path / "B-0.safetensors", ["a star"], [right])
    records = [run("A", 0), run("A", 1), run("B", 0)]
    assert grid(tmp_path, records) == [
        ["asked for", "A", "B"],
        ["a star", "1 of 2 right✓✗ count", "1 of 1 right✓"],
        ["two stars", "1 of 2 right✗ count, shape✓", ""],
    ]


def test_without_facts_there_are_no_marks(tmp_path: Path) -> None:
    stored(tmp_path / "A-0.safetensors", ["label 0", "label 1"], [])
    assert grid(tmp_path, [run("A", 0)]) == [["asked for", "A"], ["label 0", ""], ["label 1", ""]]


def test_any_text_stays_text(tmp_path: Path) -> None:
    stored(tmp_path / "A-0.safetensors", HOSTILE, [])
    _, *rows = grid(tmp_path, [run("A", 0)])
    names = [row[0] for row in rows]
    assert names[0] == HOSTILE[0]
    assert len(names) == len(set(names)) == len(HOSTILE)
    assert max(map(len, names)) < 500
    source = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert HOSTILE[0] not in source
    assert "\x00" not in source
    assert "‮" not in source


def test_what_cannot_be_read_is_left_out_and_named(tmp_path: Path) -> None:
    write_artefact(tmp_path / "A-0.safetensors", b"nothing", {"modality": "image", "levels": 17})
    assert grid(tmp_path, [run("A", 0), run("B", 0)]) == []
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Asked for: B, seed 0: B-0.safetensors: no such file" in page
    assert "Asked for: A, seed 0: A-0.safetensors cannot be read: " in page


def test_a_damaged_file_is_never_shown(tmp_path: Path) -> None:
    stored(tmp_path / "A-0.safetensors", ["a star"], [])
    (tmp_path / "A-0.safetensors").write_bytes(b"nothing")
    with pytest.raises(Damaged, match="is damaged"):
        grid(tmp_path, [run("A", 0)])
