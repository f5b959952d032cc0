"""A folder of pictures against pytorch-fid's loader: Pillow and ToTensor in torch's DataLoader.

Ours opens the folder, checks and hashes every file, and gives bytes; theirs gives the same pixels
as floats in [0, 1], unchecked. Neither resizes: pytorch-fid leaves that to its network, as we do to
the extractor. The second opening finds what the first has kept.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image
from race import fastest
from ratio import Ratio
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import ToTensor

from genbench.data.folder import folder
from genbench.evaluation.embedding import BATCH
from genbench.io.pictures import read_ahead

SIDE = 32


class Pictures(Dataset[Tensor]):
    """As pytorch-fid reads them."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files
        self.transform = ToTensor()

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        pixels: Tensor = self.transform(Image.open(self.files[index]).convert("RGB"))
        return pixels


def measure(tiny: bool = False) -> list[Ratio]:
    """Pictures a second, 32×32 PNGs; pytorch-fid has a worker a core, up to eight."""
    count, rounds = (60, 1) if tiny else (10_000, 3)
    workers = min(os.cpu_count() or 1, 8)
    totals: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as place, patch.dict(os.environ):
        pictures, cache = Path(place) / "pictures", Path(place) / "cache"
        write(pictures, count)

        def first() -> None:
            # A folder that is not there yet keeps nothing from the round before.
            os.environ["GENBENCH_CACHE"] = tempfile.mkdtemp(dir=place)
            totals["ours"] = ours(pictures)

        def second() -> None:
            os.environ["GENBENCH_CACHE"] = str(cache)
            totals["ours again"] = ours(pictures)

        def theirs() -> None:
            totals["theirs"] = pytorch_fid(pictures, workers)

        seconds = fastest({"ours": first, "ours again": second, "theirs": theirs}, rounds)
    if any(abs(total - totals["ours"]) > 1e-6 * totals["ours"] for total in totals.values()):
        raise AssertionError(f"not the same pixels: {totals}")
    rates = {name: count / spent for name, spent in seconds.items()}
    what, note = (
        f"reading {count:,} PNGs of {SIDE}×{SIDE}",
        f"pytorch-fid's loader, {workers} workers",
    )
    return [
        Ratio(what, rates["ours"], rates["theirs"], "images/s", True, 2.0, note),
        Ratio(f"{what}, again", rates["ours again"], rates["theirs"], "images/s", True, None, note),
    ]


def write(place: Path, count: int) -> None:
    """Smooth colour fields with a little noise, which PNG packs about as well as photographs."""
    place.mkdir()
    random = np.random.default_rng(0)
    for index in range(count):
        field = Image.fromarray(random.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        smooth = np.asarray(field.resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=np.int16)
        noisy = smooth + random.integers(-4, 5, smooth.shape)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(place / f"{index:06}.png")


def ours(place: Path) -> float:
    """The sum of all pixels, in [0, 1] each."""
    samples = folder(str(place), Path())
    batches = torch.arange(len(samples)).split(BATCH)
    return sum(int(batch.data.sum()) for batch in read_ahead(samples, batches)) / 255


def pytorch_fid(place: Path, workers: int) -> float:
    files = sorted(place.glob("*.png"))
    loader = DataLoader(
        Pictures(files), batch_size=50, shuffle=False, drop_last=False, num_workers=workers
    )
    return sum(float(batch.sum(dtype=torch.float64)) for batch in loader)
