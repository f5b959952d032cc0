"""Standard output of every kind: what cannot be written costs one line at most, never a number."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from genbench.analysis.comparison import document
from genbench.cli import main
from genbench.rendering import render
from genbench.rendering.progress import Screen
from genbench.store.records import read_records

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")


def status_of(file: io.BufferedWriter, encoding: str, *arguments: str | Path) -> int:
    """The exit status of a command whose standard output is ``file``."""
    stream = io.TextIOWrapper(file, encoding=encoding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        patch.setattr(sys, "stderr", sys.stderr)
        with pytest.raises(SystemExit) as ended:
            main([*map(str, arguments)])
    stream.detach()
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "gbk", "ascii"])
@pytest.mark.parametrize("form", ["terminal", "json"])
def test_what_an_encoding_lacks_is_replaced(
    encoding: str, form: str, example_folder: Path, tmp_path: Path
) -> None:
    arguments = ["table", example_folder, "--format", form]
    with (tmp_path / "out").open("wb") as file:
        assert status_of(file, encoding, *arguments) == 0
    # Where it is told ASCII, click writes UTF-8.
    used = "utf-8" if (encoding, form) == ("ascii", "json") else encoding
    text = (tmp_path / "out").read_bytes().decode(used)
    assert "DDIM-50" in text
    if form == "json":
        assert json.loads(text)
    else:
        assert "0.074" in text


def test_nothing_else_is_changed(example_folder: Path, tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as file:
        assert status_of(file, "utf-8", "table", example_folder, "--format", "markdown") == 0
    shown = render(document(read_records(example_folder)), "markdown")
    assert (tmp_path / "out").read_text(encoding="utf-8") == shown


@needs_full
@pytest.mark.parametrize("form", ["terminal", "markdown"])
def test_a_full_standard_output_is_one_line(
    form: str, example_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with FULL.open("wb") as file:
        assert status_of(file, "utf-8", "table", example_folder, "--format", form) == 1
    said = "genbench: cannot write standard output: No space left on device\n"
    assert capfd.readouterr().err == said


@pytest.mark.parametrize("form", ["terminal", "csv"])
def test_where_nobody_reads_the_status_is_that_of_a_shell(
    form: str, example_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as file:
        assert status_of(file, "utf-8", "table", example_folder, "--format", form) == 141
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("redirected", "status", "said"),
    [
        (">/dev/full", 1, "genbench: cannot write standard output: No space left on device\n"),
        (">&-", 1, "genbench: cannot write standard output: Bad file descriptor\n"),
        ("<&- >&- 2>&-", 1, ""),
        ("| exit 0; exit ${PIPESTATUS[0]}", 141, ""),
        ("2>&1 | exit 0; exit ${PIPESTATUS[0]}", 141, ""),
    ],
)
def test_to_the_end_of_the_process(redirected: str, status: int, said: str) -> None:
    """Python, which flushes once more, adds nothing."""
    if "full" in redirected and not FULL.exists():
        pytest.skip("no device that is always full")
    line = f"{sys.executable} -m genbench --help {redirected}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", said)


@needs_full
def test_a_full_standard_error_costs_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run says while it runs is no reason to give it up."""
    with FULL.open("w", encoding="utf-8", buffering=1) as file:
        monkeypatch.setattr(sys, "stderr", file)
        Screen().note("1 trainings")
        with Screen().watch(["one"]) as watched:
            assert callable(watched)
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())  # closing flushes
