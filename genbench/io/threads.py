"""Work on many files, in parallel and ahead of the caller."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")

MOST = 64
"""Files that a thread takes at a time: handing over one costs as much as reading a small one."""


def in_threads(
    work: Callable[[Sequence[T]], R], items: Sequence[T], most: int = MOST
) -> Iterator[R]:
    """The results of ``work`` on parts of at most ``most`` items, in order, on as many threads as
    torch may use. Disks, checksums and decoders work in parallel."""
    workers = torch.get_num_threads()
    size = max(1, min(most, len(items) // (4 * workers)))
    parts = [items[start : start + size] for start in range(0, len(items), size)]
    if workers == 1:
        yield from map(work, parts)
        return
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(work, parts)


def ahead(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """``map``, in order, in a thread that works on the next item while the last result is used."""
    with ThreadPoolExecutor(1) as pool:
        coming = None
        for item in items:
            following = pool.submit(work, item)
            if coming is not None:
                yield coming.result()
            coming = following
        if coming is not None:
            yield coming.result()
