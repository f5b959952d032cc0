"""The Free Spoken Digit Dataset: 3,000 recordings of spoken English digits.

Ten digits, six speakers, fifty recordings each, 16-bit PCM at 8 kHz in files
``{digit}_{speaker}_{index}.wav``. Source: Z. Jackson et al., "Free Spoken Digit Dataset", 2018,
https://github.com/Jakobovski/free-spoken-digit-dataset (CC BY-SA 4.0).
"""

from __future__ import annotations

import lzma
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import torch

from genbench.api import Categorical, Samples, SampleSpec
from genbench.api.errors import DataError
from genbench.data import choose_split
from genbench.data.recordings import Read, in_folder, recordings
from genbench.io.files import cause, shown
from genbench.io.sounds import LEVELS
from genbench.store import in_memory

SOURCE = "https://github.com/Jakobovski/free-spoken-digit-dataset"
FOLDERS = ("fsdd/recordings", "free-spoken-digit-dataset/recordings")
"""Below ``--data-dir``: as one unpacks it, and as ``git clone`` leaves it."""
ARCHIVE = "fsdd/fsdd-recordings.tar.xz"
"""The folder ``recordings`` in one file."""
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
"""In the order of the condition ``speaker``."""
RECORDINGS = 50
"""Of each digit by each speaker."""
TEST = 5
"""The first of these are the test split, by the repository's README."""
RATE = 8_000
"""Hz."""
SAMPLES = 8_192
"""Samples of a recording as it is stored, 1.024 s."""

SPEC = SampleSpec(
    "audio",
    (1, SAMPLES),
    LEVELS,
    {"label": Categorical(10), "speaker": Categorical(len(SPEAKERS))},
    float(RATE),
)


def fsdd(argument: str, data_dir: Path) -> Samples:
    """Spoken digits: ``test`` (300, the indices 0–4 of each digit and speaker) and ``train``
    (2,700, 5–49), in the order of digit, speaker and index.

    The stored view is int32 ``(N, 1, 8192)``, 16-bit PCM as levels 0 … 65535 with silence at 32768
    (``genbench.io.sounds``). Recordings last 0.14 to 2.28 s; shorter ones than 1.024 s are followed
    by silence, and the longer ones, 17 of all 3,000 and 2 of the 300, are cut at their end. The
    condition ``label`` is the digit, 0–9, and ``speaker`` a place in ``SPEAKERS``.

    The recordings lie in ``data_dir/fsdd/recordings``,
    ``data_dir/free-spoken-digit-dataset/recordings`` or ``data_dir/fsdd/fsdd-recordings.tar.xz``,
    of which the first that is there is read; other files beside them are not.

    Raises ``UsageError`` for another split or without the package soundfile; ``DataError`` if
    recordings are missing, cannot be read, or are not mono at 8 kHz.
    """
    split = choose_split("fsdd", argument)
    indices = range(TEST) if split == "test" else range(TEST, RECORDINGS)
    wanted = list(product(range(10), range(len(SPEAKERS)), indices))
    names = [f"{digit}_{SPEAKERS[speaker]}_{index}.wav" for digit, speaker, index in wanted]
    with _opened(data_dir) as (where, read):
        data = recordings("fsdd", where, read, names, rate=RATE, samples=SAMPLES, source=SOURCE)
    condition = {
        "label": torch.tensor([digit for digit, _, _ in wanted]),
        "speaker": torch.tensor([speaker for _, speaker, _ in wanted]),
    }
    return in_memory("fsdd", split, SPEC, data, condition)


@contextmanager
def _opened(data_dir: Path) -> Iterator[tuple[Path, Read]]:
    """Where the recordings are, and how one is read. Raises ``DataError`` if they are nowhere."""
    folders = [data_dir / name for name in FOLDERS if os.path.isdir(data_dir / name)]
    if folders:
        yield folders[0], in_folder(folders[0])
        return
    archive = data_dir / ARCHIVE
    if not os.path.isfile(archive):
        raise DataError(
            f"fsdd: no {FOLDERS[0]}, {FOLDERS[1]} or {ARCHIVE} in {shown(data_dir)}; "
            f"git clone {SOURCE} there"
        )
    try:
        held = _unpacked(archive)
    except (OSError, EOFError, tarfile.TarError, lzma.LZMAError, ValueError) as error:
        raise DataError(f"{shown(archive)}: truncated or damaged ({cause(error)})") from error
    yield archive, held.__getitem__


def _unpacked(archive: Path) -> dict[str, bytes]:
    """The recordings in the archive, by the names of their files."""
    held: dict[str, bytes] = {}
    with tarfile.open(archive, "r:xz") as members:
        for member in members:
            file = members.extractfile(member)
            if file is not None and member.name.endswith(".wav"):
                held[member.name.rpartition("/")[2]] = file.read()
    return held
