"""What every test shares: one thread, and where the real data lies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real MNIST and Fashion-MNIST files: ``GENBENCH_TEST_DATA``, or ``../shared/data`` beside the
    checkout."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("GENBENCH_TEST_DATA", default))
    if not (folder / "mnist").is_dir():
        pytest.skip(f"no real data at {folder}; set GENBENCH_TEST_DATA to a folder with mnist/")
    return folder
