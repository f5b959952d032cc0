"""Several ``genbench run`` at one folder: one after the other, and nothing twice; a killed one is
taken over."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from corridor import SUITE, TOY, comparable, in_this_process
from forked import Forked

from genbench.store.records import RECORDS

STEPS, HELD_AT = 20, 10
PLUGIN = f"""
import importlib.util, os, time
from pathlib import Path
from genbench import registry

spec = importlib.util.spec_from_file_location("toys", {str(TOY)!r})
toys = importlib.util.module_from_spec(spec)
spec.loader.exec_module(toys)
LOG = Path(__file__).with_name("log")
HELD_AT = {HELD_AT}

class Slow(toys.Toy):
    def losses(self, batch, progress):
        with LOG.open("a") as log:
            log.write(f"{{os.getpid()}} {{progress.step}}\\n")
        while progress.step == HELD_AT and not LOG.with_name("go").exists():
            time.sleep(0.02)
        yield from super().losses(batch, progress)

def slow(spec):
    return Slow(spec, 0.05, None)

registry.models.add("slow", slow)
"""


class Runs:
    """``genbench run`` in processes of its own, whose trainings go on at step ``HELD_AT`` when they
    are let."""

    def __init__(self, folder: Path, seeds: str) -> None:
        self.folder, self.out, self.log = folder, folder / "out", folder / "log"
        self.count = 0
        (folder / "slow.py").write_text(PLUGIN, encoding="utf-8")
        text = SUITE.replace("seeds = [0]", f"seeds = {seeds}").replace('"toy"', '"slow"')
        text = text.replace("examples = 64", f"examples = {32 * STEPS}").partition('[entries."')[0]
        (folder / "toys.toml").write_text(text, encoding="utf-8")

    def start(self, *more: str, forking: bool = False) -> Forked:
        """``forking``: its jobs are processes of their own, which takes longer."""
        self.count += 1
        command = ["run", self.folder / "toys.toml", "--out", self.out, "--jobs", "1"]
        command += ["--plugin", self.folder / "slow.py", *more]
        return Forked(
            command, self.folder / f"said-{self.count}", nullcontext if forking else in_this_process
        )

    def let(self) -> None:
        (self.folder / "go").touch()

    def steps(self) -> list[tuple[int, int]]:
        """The process and the number of every step that was begun, in order."""
        if not self.log.exists():
            return []
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return [(int(pid), int(step)) for pid, step in (line.split() for line in lines)]


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(2400):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("waited for two minutes")


def test_two_at_once_train_once(tmp_path: Path) -> None:
    runs = Runs(tmp_path, "[0, 1]")
    runs.let()
    first, second = runs.start(), runs.start()
    said = [first.ended(), second.ended()]
    waited = [f"waiting: another genbench is at {runs.out}" in text for text in said]
    assert sorted(waited) == [False, True]
    assert "3 jobs are finished already" in said[waited.index(True)]
    # Two seeds, each trained from its first step to its last, once.
    assert [step for _, step in runs.steps()] == 2 * list(range(STEPS))
    before = (runs.out / RECORDS).read_bytes()
    assert [(r["entry"], r["seed"], r["status"]) for r in comparable(runs.out)] == [
        ("real", None, "done"),
        ("Toy", 0, "done"),
        ("Toy", 1, "done"),
    ]
    assert (runs.out / RECORDS).read_bytes() == before


def test_one_that_waits_takes_over_from_one_that_is_killed(tmp_path: Path) -> None:
    """The process that trained for the killed one dies with it: no two train one run."""
    runs = Runs(tmp_path, "[0]")
    first = runs.start(forking=True)
    wait_for(lambda: len(runs.steps()) > HELD_AT)
    second = runs.start()
    wait_for(lambda: "waiting: another genbench" in second.said.read_text())
    os.kill(first.pid, signal.SIGKILL)
    wait_for(lambda: len({pid for pid, _ in runs.steps()}) == 2)
    runs.let()
    first.ended(-signal.SIGKILL)
    second.ended()
    steps = runs.steps()
    assert [step for _, step in steps] == [*range(HELD_AT + 1), *range(STEPS)]
    assert len({pid for pid, _ in steps[HELD_AT + 1 :]}) == 1
    assert [r["status"] for r in comparable(runs.out)] == ["done", "done"]


def test_an_interrupt_ends_its_processes(tmp_path: Path) -> None:
    runs = Runs(tmp_path, "[0]")
    first = runs.start(forking=True)
    wait_for(lambda: len(runs.steps()) > HELD_AT)
    os.kill(first.pid, signal.SIGINT)
    said = first.ended(130)
    assert said.endswith("genbench: interrupted; repeat the command to continue\n")
    assert "Traceback" not in said
    (pid,) = {pid for pid, _ in runs.steps()}
    assert not Path(f"/proc/{pid}").exists()
    runs.let()
    runs.start().ended()
    assert [step for _, step in runs.steps()] == [*range(HELD_AT + 1), *range(STEPS)]


def test_four_at_once_with_seeds_in_common_train_each_once(tmp_path: Path) -> None:
    runs = Runs(tmp_path, "[0, 1, 2]")
    runs.let()
    four = [runs.start("--seeds", seeds) for seeds in ("0,1", "1,2", "0,2", "0,1,2")]
    said = [run.ended() for run in four]
    assert sum("waiting: another genbench" in text for text in said) == 3
    # Three seeds, each trained from its first step to its last, once.
    assert [step for _, step in runs.steps()] == 3 * list(range(STEPS))
    # Whoever came last has left its own rows, whole; what the others trained is there still.
    assert runs.start().ended().count("4 jobs are finished already") == 1
    rows = [(r["entry"], r["seed"], r["status"]) for r in comparable(runs.out)]
    assert rows == [("real", None, "done"), *[("Toy", seed, "done") for seed in (0, 1, 2)]]
    assert len(runs.steps()) == 3 * STEPS
