"""What is computed once: found for the same inputs alone, by one rank for all."""

from __future__ import annotations

import queue
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from genbench import store
from genbench.api.errors import GenbenchError
from genbench.devices.ranks import ALONE
from genbench.store import Artefact, CannotWrite, Contents, Damaged, Stage

T = TypeVar("T")


def pack_number(value: float) -> Contents:
    return b"", {"value": value}


def unpack_number(contents: Contents) -> float:
    return float(contents[1]["value"])


NUMBER = Stage[float]("numbers", 1, ("a", "b"), pack_number, unpack_number)
FILE = Stage[Contents]("files", 1, ("a", "b"), suffix=".bin")
INPUTS = {"a": [1, "x"], "b": {"c": None}}


class Counting:
    """A computation that counts its calls."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.calls = 0

    def __call__(self) -> Any:
        self.calls += 1
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value


class Team:
    """Ranks that are threads."""

    def __init__(self, world: int) -> None:
        self.world = world
        self.messages: list[queue.Queue[Any]] = [queue.Queue() for _ in range(world)]
        self.together = threading.Barrier(world, timeout=10)

    def run(self, work: Callable[[Member], T]) -> list[T | BaseException]:
        """What ``work`` returns or raises on each rank."""
        results: list[Any] = [None] * self.world

        def on(rank: int) -> None:
            try:
                results[rank] = work(Member(self, rank))
            except BaseException as error:
                results[rank] = error

        threads = [threading.Thread(target=on, args=(rank,)) for rank in range(self.world)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results


class Member:
    """One rank of a team."""

    def __init__(self, team: Team, rank: int) -> None:
        self.team = team
        self.rank = rank

    def on_rank_zero(self, function: Callable[[], T]) -> T:
        if self.rank > 0:
            value, error = self.team.messages[self.rank].get(timeout=10)
            if error is not None:
                raise error
            return value  # type: ignore[no-any-return]
        try:
            told: tuple[Any, Any] = function(), None
        except Exception as error:
            told = None, error
        for messages in self.team.messages[1:]:
            messages.put(told)
        if told[1] is not None:
            raise told[1]
        return told[0]  # type: ignore[no-any-return]

    def barrier(self, error: BaseException) -> None:
        try:
            self.team.together.wait()
        except threading.BrokenBarrierError:
            raise GenbenchError(f"rank {self.rank} failed alone") from error


def test_the_second_time_nothing_is_computed(tmp_path: Path) -> None:
    compute = Counting(0.1)
    first = NUMBER.once(ALONE, tmp_path, INPUTS, compute)
    assert first.path == tmp_path / "numbers" / f"{first.identity}.json"
    assert first.value == 0.1
    assert NUMBER.once(ALONE, tmp_path, INPUTS, compute) == first
    assert NUMBER.find(tmp_path, INPUTS) == 0.1
    assert compute.calls == 1
    assert NUMBER.find(tmp_path, {**INPUTS, "a": [1, "y"]}) is None


def test_a_file_comes_back_with_its_metadata(tmp_path: Path) -> None:
    made = FILE.once(ALONE, tmp_path, INPUTS, lambda: (b"0123", {"step": 3}))
    assert made.path == tmp_path / "files" / f"{made.identity}.bin"
    assert made.path.read_bytes() == b"0123"
    data, metadata = FILE.once(ALONE, tmp_path, INPUTS, Counting(AssertionError())).value
    assert (data, metadata["step"]) == (b"0123", 3)


def test_everything_declared_decides_the_identity_and_nothing_else_is_taken() -> None:
    stages = [NUMBER, replace(NUMBER, version=2), replace(NUMBER, name="others")]
    found = {stage.identity(INPUTS) for stage in stages}
    found |= {NUMBER.identity({**INPUTS, name: 0}) for name in INPUTS}
    assert len(found) == len(stages) + len(INPUTS)
    assert NUMBER.identity(dict(reversed(INPUTS.items()))) == NUMBER.identity(INPUTS)
    for wrong in ({"a": 1}, {**INPUTS, "c": 1}):
        with pytest.raises(ValueError, match=r"numbers is decided by \('a', 'b'\), not by \('a'"):
            NUMBER.identity(wrong)


def test_another_version_computes_again(tmp_path: Path) -> None:
    compute = Counting(0.1)
    NUMBER.once(ALONE, tmp_path, INPUTS, compute)
    replace(NUMBER, version=2).once(ALONE, tmp_path, INPUTS, compute)
    assert compute.calls == 2


def test_what_is_not_kept_is_computed_again(tmp_path: Path) -> None:
    positive = replace(NUMBER, kept=lambda value, seconds: value > 0 and seconds < 100)
    compute = Counting(-1.0)
    for _ in range(2):
        assert positive.once(ALONE, tmp_path, INPUTS, compute).value == -1.0
    assert compute.calls == 2
    assert list(tmp_path.iterdir()) == []
    compute.value = 1.0
    for _ in range(2):
        assert positive.once(ALONE, tmp_path, INPUTS, compute).value == 1.0
    assert compute.calls == 3
    slow = replace(NUMBER, kept=lambda value, seconds: seconds > 100)
    slow.once(ALONE, tmp_path / "slow", INPUTS, compute)
    assert not (tmp_path / "slow").exists()


@pytest.mark.parametrize("stage", [NUMBER, FILE], ids=lambda stage: stage.name)
def test_damage_is_raised_and_that_of_a_cache_repaired(stage: Stage[Any], tmp_path: Path) -> None:
    compute = Counting(0.1 if stage is NUMBER else (b"0123", {}))
    path = stage.once(ALONE, tmp_path, INPUTS, compute).path
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(Damaged, match=path.name):
        stage.once(ALONE, tmp_path, INPUTS, compute)
    assert stage.find(tmp_path, INPUTS) is None
    assert compute.calls == 1


def test_what_a_cache_holds_is_its_own_or_computed_again(tmp_path: Path) -> None:
    cache = replace(FILE, cache=True)
    compute = Counting((b"0123", {}))
    path = cache.once(ALONE, tmp_path, INPUTS, compute).path
    whole, (_, metadata) = path.read_bytes(), store.require_artefact(path)
    other = cache.once(ALONE, tmp_path, {**INPUTS, "a": 2}, Counting((b"4567", {}))).path
    for damage in (
        lambda: path.write_bytes(whole[:-1]),
        lambda: path.unlink(),
        lambda: store.write_artefact(path, b"9", {}),
        lambda: [shutil.copy(f(other), f(path)) for f in (Path, store.metadata_path)],
    ):
        damage()
        calls = compute.calls
        assert cache.once(ALONE, tmp_path, INPUTS, compute).value[0] == b"0123"
        assert (compute.calls, path.read_bytes()) == (calls + 1, whole)
        assert cache.once(ALONE, tmp_path, INPUTS, compute).value == (b"0123", metadata)
        assert compute.calls == calls + 1


def test_a_foreign_value_with_a_right_checksum_is_computed_again(tmp_path: Path) -> None:
    path = NUMBER.once(ALONE, tmp_path, INPUTS, lambda: 0.1).path
    for foreign in ({}, {"value": "x"}, {"value": [1]}):
        store.write_metadata(path, foreign)
        assert NUMBER.find(tmp_path, INPUTS) is None
        assert NUMBER.once(ALONE, tmp_path, INPUTS, lambda: 0.2).value == 0.2
        assert NUMBER.find(tmp_path, INPUTS) == 0.2


def test_a_folder_that_cannot_be_written_is_an_error_but_of_a_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise CannotWrite(f"cannot write {path}: no space left on device")

    monkeypatch.setattr(store.artefacts, "write_bytes", full)
    with pytest.raises(CannotWrite, match="no space left"):
        NUMBER.once(ALONE, tmp_path, INPUTS, lambda: 0.1)
    assert replace(NUMBER, cache=True).once(ALONE, tmp_path, INPUTS, lambda: 0.1).value == 0.1


def test_what_raises_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        NUMBER.once(ALONE, tmp_path, INPUTS, Counting(SystemExit(3)))
    assert list(tmp_path.iterdir()) == []


# --- Several ranks. ---


def test_all_ranks_compute_and_rank_0_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers: list[str] = []
    write = store.artefacts.write_bytes

    def watched(path: Path, data: bytes) -> None:
        writers.append(threading.current_thread().name)
        write(path, data)

    monkeypatch.setattr(store.artefacts, "write_bytes", watched)
    ranks: list[int] = []

    def work(member: Member) -> Artefact[float]:
        if member.rank == 0:
            threading.current_thread().name = "rank 0"

        def compute() -> float:
            ranks.append(member.rank)
            return 0.1

        return NUMBER.once(member, tmp_path, INPUTS, compute)

    first = Team(3).run(work)
    assert sorted(ranks) == [0, 1, 2]
    assert writers == ["rank 0"]
    assert first == Team(3).run(work) == [first[0]] * 3
    assert len(ranks) == 3


def test_rank_0_decides_whether_it_is_there(tmp_path: Path) -> None:
    """Another rank may not see the folder at all, or not yet."""
    NUMBER.once(ALONE, tmp_path / "0", INPUTS, lambda: 0.1)
    found = Team(2).run(
        lambda member: (
            NUMBER.once(
                member, tmp_path / str(member.rank), INPUTS, Counting(AssertionError())
            ).value
        )
    )
    assert found == [0.1, 0.1]


def test_rank_0_may_compute_alone(tmp_path: Path) -> None:
    alone = replace(NUMBER, alone=True)
    ranks: list[int] = []

    def work(member: Member) -> float:
        def compute() -> float:
            ranks.append(member.rank)
            return 0.1

        return alone.once(member, tmp_path, INPUTS, compute).value

    assert Team(2).run(work) == [0.1, 0.1]
    assert ranks == [0]


@pytest.mark.parametrize("alone", [False, True], ids=["together", "alone"])
def test_an_exception_reaches_every_rank(alone: bool, tmp_path: Path) -> None:
    error = ValueError("in all")
    stage = replace(NUMBER, alone=alone)
    found = Team(2).run(lambda member: stage.once(member, tmp_path, INPUTS, Counting(error)))
    assert found == [error, error]
    assert list(tmp_path.iterdir()) == []


def test_a_rank_that_fails_alone_is_out_of_step(tmp_path: Path) -> None:
    team = Team(2)
    team.together = threading.Barrier(2, timeout=0.1)

    def work(member: Member) -> float:
        compute = Counting(0.1 if member.rank == 0 else ValueError("in one"))
        return NUMBER.once(member, tmp_path, INPUTS, compute).value

    value, error = team.run(work)
    assert (value, str(error)) == (0.1, "rank 1 failed alone")


def test_damage_that_rank_0_finds_reaches_every_rank(tmp_path: Path) -> None:
    path = FILE.once(ALONE, tmp_path, INPUTS, lambda: (b"0123", {})).path
    path.write_bytes(b"012")
    found = Team(2).run(lambda member: FILE.once(member, tmp_path, INPUTS, Counting((b"0123", {}))))
    assert [type(error) for error in found] == [Damaged, Damaged]
