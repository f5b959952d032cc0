"""LaTeX tables, compiled."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from genbench.analysis.comparison import document
from genbench.analysis.selection import compared
from genbench.api.errors import UsageError
from genbench.rendering import render
from genbench.store.records import Record, read_records

pytestmark = pytest.mark.skipif(
    shutil.which("pdflatex") is None or shutil.which("pdftotext") is None,
    reason="needs pdflatex and pdftotext: texlive-latex-extra and poppler-utils",
)

RESULTS = Path(__file__).resolve().parents[2] / "results"

DOCUMENT = r"""
\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage[landscape,margin=1cm]{geometry}
\usepackage{booktabs,threeparttable}
\usepackage[expansion=false,protrusion=false]{microtype}
\DisableLigatures{encoding=*}
\begin{document}
%s
\end{document}
"""


def compiled(text: str, folder: Path) -> str:
    """The words of the PDF that a document with this text becomes."""
    (folder / "page.tex").write_text(DOCUMENT.strip() % text, encoding="utf-8")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "page.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120)
    log = done.stdout.decode("latin-1")
    assert done.returncode == 0, log[-3000:]
    assert "LaTeX Warning: Reference" not in log
    read = ["pdftotext", "-layout", "page.pdf", "-"]
    return subprocess.run(read, cwd=folder, capture_output=True, check=True).stdout.decode()


@pytest.mark.parametrize("name", ["quickstart", "points", "digits-full"])
def test_published_tables_compile(name: str, tmp_path: Path) -> None:
    records = read_records(RESULTS / name)
    words = compiled(render(document(records), "latex"), tmp_path)
    assert all(record.entry in words for record in records)


def test_a_table_for_a_paper_is_one_float_with_its_notes(tmp_path: Path) -> None:
    records = read_records(RESULTS / "digits-full")
    made = compared(
        records,
        ["frechet_distance", "recall"],
        ["GAN", "consistency, 2 steps"],
        transpose=True,
        caption="Digits & 8×8",
        label="tab:digits",
    )
    text = render(made, "latex")
    assert text.count("\\begin{tabular}{lrrr}") == text.count("\\begin{table}") == 1
    assert "Collapse was not judged" not in text  # coverage was scored, though it is not shown
    assert "\\label{tab:digits}" in text
    words = compiled(text, tmp_path)
    assert "Table 1: Digits & 8×8" in words
    assert all(name in words for name in ("GAN", "consistency, 2 steps", "recall", "Conditions:"))
    with pytest.raises(UsageError, match="--label a}b"):
        compared(records, None, None, label="a}b")


def test_hostile_names_compile(example_records: list[Record], tmp_path: Path) -> None:
    hostile = r"[a] * & b_1 %d $x$ #2 {c} ~ ^ \end{document} <s> σ² → ∞ Ω ½"
    named = [
        replace(record, entry=hostile if record.entry == "GAN" else record.entry)
        for record in example_records
    ]
    words = compiled(render(document(named), "latex"), tmp_path)
    assert r"\end{document}" in words
    assert "[a] * & b_1 %d $x$ #2 {c}" in words
