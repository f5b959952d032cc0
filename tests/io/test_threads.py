"""Work side by side and ahead: the same results in the same order."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from PIL import Image

from genbench.api import Batch, SampleSpec
from genbench.api.errors import DataError
from genbench.data import open_samples
from genbench.io.pictures import read_ahead
from genbench.io.threads import ahead, in_threads


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 63, 1000])
@pytest.mark.usefixtures("two_threads")
def test_in_order_and_in_parts(count, threads):
    torch.set_num_threads(threads)
    parts = list(in_threads(lambda part: [x * x for x in part], range(count), most=20))
    assert [y for part in parts for y in part] == [x * x for x in range(count)]
    assert all(len(part) <= 20 for part in parts)


@pytest.mark.usefixtures("two_threads")
def test_two_work_at_once():
    both = threading.Barrier(2, timeout=20)
    assert list(in_threads(lambda part: both.wait() >= 0, range(2))) == [True, True]


@pytest.mark.usefixtures("two_threads")
def test_the_first_fault_is_raised():
    def work(part: Sequence[int]) -> None:
        for x in part:
            if x in (300, 700):
                raise ValueError(x)

    with pytest.raises(ValueError, match="300"):
        list(in_threads(work, range(1000)))


def test_one_thread_where_torch_may_use_one():
    assert torch.get_num_threads() == 1
    assert set(in_threads(lambda part: threading.current_thread(), range(100))) == {
        threading.current_thread()
    }


def test_the_next_is_begun_while_the_last_is_used():
    begun = [threading.Event() for _ in range(4)]

    def work(x: int) -> int:
        begun[x].set()
        return x

    for x in ahead(work, range(4)):
        assert x == 3 or begun[x + 1].wait(timeout=20)
        time.sleep(0.01)
        assert x >= 2 or not begun[x + 2].is_set()


def test_a_fault_ahead_is_raised_in_its_turn():
    def work(x: int) -> float:
        return 1 / (2 - x)

    results = ahead(work, range(4))
    assert [next(results), next(results)] == [0.5, 1.0]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_nothing_and_one():
    assert list(ahead(str, [])) == []
    assert list(ahead(str, [7])) == ["7"]


@pytest.mark.usefixtures("two_threads")
def test_pictures_are_the_same_on_any_number_of_threads(tmp_path):
    for index in range(150):
        pixels = np.random.default_rng(index).integers(0, 256, (5, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index:03}.png")
    samples = open_samples(str(tmp_path), tmp_path)
    batches = list(torch.randperm(150).split(64))
    several = [batch.data for batch in read_ahead(samples, batches)]
    torch.set_num_threads(1)
    assert open_samples(str(tmp_path), tmp_path).id == samples.id
    for data, indices in zip(several, batches, strict=True):
        assert torch.equal(data, samples.take(indices).data)
    (tmp_path / "077.png").write_bytes(b"gone bad")
    torch.set_num_threads(2)
    with pytest.raises(DataError, match=r"077\.png"):
        list(read_ahead(samples, batches))


def test_samples_of_others_are_taken_by_who_asks():
    class Mine:
        spec, id = SampleSpec("points", (2,), None), "mine"

        def __len__(self) -> int:
            return 4

        def take(self, indices: torch.Tensor) -> Batch:
            assert threading.current_thread() is threading.main_thread()
            return Batch(indices[:, None].float())

    batches = torch.arange(4).split(2)
    assert [batch.data[0].item() for batch in read_ahead(Mine(), batches)] == [0, 2]
