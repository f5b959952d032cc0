"""What these tests score: real digits, in two halves."""

from __future__ import annotations

from pathlib import Path

import pytest

from genbench.api import TensorSamples
from genbench.data import open_samples


@pytest.fixture(scope="module")
def halves() -> tuple[TensorSamples, TensorSamples]:
    train = open_samples("digits:train", Path("data"))
    test = open_samples("digits:test", Path("data"))
    assert isinstance(train, TensorSamples)
    assert isinstance(test, TensorSamples)
    return train, test
