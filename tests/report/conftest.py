"""The page of the example."""

from __future__ import annotations

from pathlib import Path

import pytest
from html_page import Page

from genbench.report import write_report


@pytest.fixture(scope="session")
def source(example_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("report") / "report.html"
    write_report([example_folder], out)
    return out.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def page(source: str) -> Page:
    return Page(source)
