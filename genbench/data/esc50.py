"""ESC-50: two thousand environmental sounds in fifty classes.

16-bit PCM at 44.1 kHz, five seconds each, in files ``{fold}-{clip}-{take}-{target}.wav``. Source:
K. J. Piczak, "ESC: Dataset for environmental sound classification", 2015,
https://github.com/karolpiczak/ESC-50 (CC BY-NC 3.0).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import torch

from genbench.api import Categorical, Samples, SampleSpec
from genbench.api.errors import DataError
from genbench.data import choose_split
from genbench.data.recordings import in_folder, recordings
from genbench.io.files import shown
from genbench.io.sounds import LEVELS
from genbench.store import in_memory

SOURCE = "https://github.com/karolpiczak/ESC-50"
FOLDERS = ("ESC-50/audio", "ESC-50-master/audio")
"""Below ``--data-dir``: as ``git clone`` leaves it, and as its archive is unpacked."""
NAME = re.compile(r"([1-5])-(\d+)-([A-Z])-(\d+)\.wav")
"""Fold, clip, take and class."""
CLASSES, EACH = 50, 40
"""Clips of each class, a fifth of them in each fold."""
TEST_FOLD = "5"
RATE = 44_100
"""Hz."""
SAMPLES = 5 * RATE

SPEC = SampleSpec("audio", (1, SAMPLES), LEVELS, {"label": Categorical(CLASSES)}, float(RATE))


def esc50(argument: str, data_dir: Path) -> Samples:
    """Environmental sounds: ``train`` (1,600, the folds 1 to 4) and ``test`` (400, fold 5), in the
    order of their files' names. Takes of one clip lie in one fold.

    The stored view is int32 ``(N, 1, 220500)``, 16-bit PCM as levels 0 … 65535 with silence at
    32768 (``genbench.io.sounds``); all of ``train`` takes 1.4 GB of memory. The condition ``label``
    is the class, 0 … 49, by the numbers of the data set.

    The sounds lie in one of ``FOLDERS`` in ``data_dir``, of which the first that is there is read.

    Raises ``UsageError`` for another split or without the package soundfile; ``DataError`` if there
    is no such folder, if it does not hold 40 clips of each class, or if a sound cannot be read, or
    is not mono at 44.1 kHz.
    """
    split = choose_split("esc50", argument)
    folder = next((data_dir / name for name in FOLDERS if os.path.isdir(data_dir / name)), None)
    if folder is None:
        raise DataError(
            f"esc50: no {' or '.join(FOLDERS)} in {shown(data_dir)}; git clone {SOURCE} there"
        )
    found = sorted(entry.name for entry in os.scandir(folder) if NAME.fullmatch(entry.name))
    classes = [int(name.rpartition("-")[2].removesuffix(".wav")) for name in found]
    for number in range(CLASSES):
        if (count := classes.count(number)) != EACH:
            raise DataError(
                f"esc50: {shown(folder)} holds {count} clips of class {number}, not {EACH}; get "
                f"them all from {SOURCE}"
            )
    names = [name for name in found if (name[0] == TEST_FOLD) == (split == "test")]
    data = recordings(
        "esc50", folder, in_folder(folder), names, rate=RATE, samples=SAMPLES, source=SOURCE
    )
    labels = torch.tensor([int(name.rpartition("-")[2].removesuffix(".wav")) for name in names])
    return in_memory("esc50", split, SPEC, data, {"label": labels})
