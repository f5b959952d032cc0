"""``genbench plot``."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from genbench.cli import main
from genbench.store.records import Record, write_records


def typed(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["plot", *map(str, arguments)], catch_exceptions=False)


@pytest.mark.parametrize(
    ("format", "head"), [("pdf", b"%PDF"), ("svg", b"<?xml"), ("png", b"\x89PNG")]
)
def test_the_charts_that_are_named_are_written(
    format: str, head: bytes, example_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a" / "plots"
    named = ["--charts", "precision-recall,intervals", "--format", format]
    done = typed(example_folder, "--out", out, *named)
    assert done.exit_code == 0
    assert done.stdout == ""
    lines = [" ".join(line.split()) for line in done.stderr.splitlines()]
    assert lines[0].startswith(f"{out}/precision-recall.{format} written: Precision against recall")
    assert lines[1].startswith(f"{out}/intervals.{format} written: ")
    assert sorted(path.name for path in out.iterdir()) == [
        f"intervals.{format}",
        f"precision-recall.{format}",
    ]
    assert all(path.read_bytes().startswith(head) for path in out.iterdir())


def test_an_unknown_chart_is_answered_with_the_nearest(
    example_folder: Path, tmp_path: Path
) -> None:
    done = typed(example_folder, "--out", tmp_path / "plots", "--charts", "precision-recal")
    assert done.exit_code == 2
    assert done.stderr == (
        "genbench: unknown chart 'precision-recal'; did you mean 'precision-recall'?\n"
    )
    done = typed(example_folder, "--out", tmp_path / "plots", "--charts", "zzz")
    assert "; known: frechet-distance-against-nfe, " in done.stderr
    assert not (tmp_path / "plots").exists()


def test_without_charts_it_says_why(example_records: list[Record], tmp_path: Path) -> None:
    write_records(tmp_path, example_records[-1:])
    done = typed(tmp_path, "--out", tmp_path / "plots")
    assert done.exit_code == 2
    assert done.stderr.startswith("genbench: no charts: no run has a score")
    assert done.stderr.count("\n") == 1


def test_a_file_in_place_of_the_folder(example_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "plots").write_text("mine")
    done = typed(example_folder, "--out", tmp_path / "plots", "--charts", "intervals")
    assert done.exit_code == 1
    assert done.stderr.startswith("genbench: cannot write ")
    assert (tmp_path / "plots").read_text() == "mine"
