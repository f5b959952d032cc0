"""What a run shows while it runs: a table on a terminal, lines elsewhere."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import pytest
from rich.console import Console

from genbench.api import ProgressEvent
from genbench.rendering import progress
from genbench.rendering.progress import Screen


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Goes on by so many seconds."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])

    def go_on(seconds: float) -> None:
        now[0] += seconds

    return go_on


def screen(monkeypatch: pytest.MonkeyPatch, terminal: bool, height: int = 25) -> io.StringIO:
    file = io.StringIO()
    console = Console(
        file=file, width=80, height=height, force_terminal=terminal, color_system=None,
        legacy_windows=False,
    )  # fmt: skip
    monkeypatch.setattr(progress, "console", console)
    return file


def seen(file: io.StringIO) -> Iterator[str]:
    return iter(file.getvalue().splitlines())


def test_without_a_terminal_a_line_stands_for_what_ended_and_now_and_then_for_what_runs(
    monkeypatch: pytest.MonkeyPatch, clock: Callable[[float], None]
) -> None:
    file = screen(monkeypatch, terminal=False)
    with Screen().watch(["A, seed 0", "B, seed 0"]) as watched:
        watched(0, ProgressEvent("train", 10, 100))
        clock(21)
        watched(1, ProgressEvent("sample", 1, 4))
        clock(5)
        watched(0, ProgressEvent("train", 90, 100))  # too early for another line
        watched(1, ProgressEvent("sample", 1, 4, note="a word"))
        watched(1, ProgressEvent("failed", 1, 1, note="out of memory"))
        clock(20)
        watched(0, ProgressEvent("train", 95, 100))
        watched(0, ProgressEvent("done", 1, 1, note="Fréchet distance 0.0408"))
    assert list(seen(file)) == [
        "  21.0 s  0 of 2 ended; A, seed 0: train 10%; B, seed 0: sample 25%",
        "a word",
        "  26.0 s  B, seed 0: failed, out of memory",
        "  46.0 s  1 of 2 ended; A, seed 0: train 95%",
        "  46.0 s  A, seed 0: done, Fréchet distance 0.0408",
    ]


def test_on_a_terminal_a_row_fills_in(
    monkeypatch: pytest.MonkeyPatch, clock: Callable[[float], None]
) -> None:
    file = screen(monkeypatch, terminal=True)
    with Screen().watch(["A · seed 0", "a job with a very long name · seed 1"]) as watched:
        watched(0, ProgressEvent("train", 10, 100, loss=0.5, rate=1000.0))
        clock(48)
        watched(0, ProgressEvent("done", 1, 1, note="Fréchet distance 0.0408"))
    last = file.getvalue().splitlines()
    assert any("48 s, Fréchet distance 0.0408" in line for line in last)
    assert any("a job with a ver… · seed 1" in line and "waiting" in line for line in last)
    assert max(map(len, last)) < 80 + 20  # but for what moves the cursor


def test_a_job_that_reported_nothing_ends_with_a_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    file = screen(monkeypatch, terminal=True)
    with Screen().watch(["GAN"]) as watched:
        watched(0, ProgressEvent("done", 1, 1, note="107 µs a sample"))
    *_, last = (line for line in seen(file) if "GAN" in line)
    assert "✓ GAN" in last


def test_where_jobs_are_more_than_lines_those_that_ended_go_up(
    monkeypatch: pytest.MonkeyPatch, clock: Callable[[float], None]
) -> None:
    file = screen(monkeypatch, terminal=True, height=10)
    with Screen().watch([f"job {number}" for number in range(40)]) as watched:
        for number in range(39):
            watched(number, ProgressEvent("train", 1, 2))
            clock(1)
            watched(number, ProgressEvent("done", 1, 1, note="0.1"))
        watched(39, ProgressEvent("train", 1, 2))
    text = file.getvalue()
    assert text.count("job 0: 1 s, 0.1") == 1
    assert "job 38: 1 s, 0.1" in text
    shown = text[text.rindex("job 38: 1 s") :]
    assert "job 39" in shown
    assert "waiting" not in shown
