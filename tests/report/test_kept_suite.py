"""The suite that a run folder keeps heads its page, and gives the run again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from html_page import Page

from genbench.api.errors import DataError
from genbench.cli import main
from genbench.report import write_report
from genbench.store import Damaged
from genbench.store.records import Record, read_records, seal, write_records

SHORT = """
dataset = "points-ring"
examples = 1280
samples = 256

[score]
extractor = "identity"
reference = "points-ring:test"
metrics = ["frechet_distance"]

[entries.GAN]
model = "gan"
"""
SUITE = """\
# genbench 0.1.0, git revision 0123456789abcdef
title = "Mine & <others>"
dataset = "digits"
"""


def test_the_suite_of_the_folder_heads_the_page_and_gives_the_run_again(
    example_records: list[Record], tmp_path: Path
) -> None:
    write_records(tmp_path, [replace(record, files={}) for record in example_records])
    (tmp_path / "suite.toml").write_text(SUITE, encoding="utf-8")
    write_report([tmp_path], tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.texts["h1"] == ["Mine & <others>"]
    assert SUITE.strip() in page.texts["code"]
    assert "genbench run suite.toml --out again --seeds 0,1" in page.texts["code"]
    assert "Run by genbench 0.1.0, git revision 0123456789abcdef." in page.texts["p"]


def test_what_a_run_keeps_is_what_the_page_asks_to_type(tmp_path: Path) -> None:
    """The command as it stands on the page, typed in the folder of a run with overrides."""
    overrides = ["--set", "examples=128", "--set", "samples=64", "--set", "seeds=[3]"]
    suite = tmp_path / "short.toml"
    suite.write_text(SHORT, encoding="utf-8")
    arguments = ["run", str(suite), "--out", str(tmp_path / "run"), *overrides, "--jobs", "1"]
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    page = Page((tmp_path / "run/report.html").read_text(encoding="utf-8"))
    (command,) = (text for text in page.texts["code"] if "suite.toml" in text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path / "run")
        done = CliRunner().invoke(main, [*command.split()[1:], "--jobs", "1"])
    assert done.exit_code == 0, done.output
    first, again = (read_records(tmp_path / "run" / part) for part in (".", "again"))
    assert [(r.entry, r.seed, r.scores) for r in again] == [
        (r.entry, r.seed, r.scores) for r in first
    ]


def test_a_suite_that_has_changed_is_not_shown(
    example_records: list[Record], tmp_path: Path
) -> None:
    write_records(tmp_path, [replace(record, files={}) for record in example_records])
    (tmp_path / "suite.toml").write_text(SUITE, encoding="utf-8")
    seal(tmp_path, "mine", ["suite.toml"])
    (tmp_path / "suite.toml").write_text(SUITE + "seeds = [1]\n", encoding="utf-8")
    with pytest.raises(Damaged, match=r"suite\.toml is damaged"):
        write_report([tmp_path], tmp_path / "report.html")
    (tmp_path / "genbench.json").unlink()
    (tmp_path / "suite.toml").write_text("title =", encoding="utf-8")
    with pytest.raises(DataError, match=r"suite\.toml is no suite"):
        write_report([tmp_path], tmp_path / "report.html")
