"""SC09: the spoken digits of the Speech Commands data set.

16-bit PCM at 16 kHz, a second or less each, in folders ``zero`` … ``nine`` of files
``{speaker}_nohash_{number}.wav``. Source: P. Warden, "Speech Commands: A dataset for
limited-vocabulary speech recognition", 2018 (CC BY 4.0). The digits alone are SC09 in Donahue et
al. 2019 and in Kong et al. 2021.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch

from genbench.api import Categorical, Samples, SampleSpec
from genbench.api.errors import DataError
from genbench.data import choose_split
from genbench.data.recordings import in_folder, recordings
from genbench.io.files import shown
from genbench.io.sounds import LEVELS
from genbench.store import in_memory

SOURCE = "Speech Commands, version 0.02"
FOLDERS = ("speech_commands_v0.02", "SpeechCommands/speech_commands_v0.02", "speech_commands")
"""Below ``--data-dir``: as its archive is unpacked, and as torchaudio leaves it."""
LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}
"""Of the files of these splits; all others are ``train``."""
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
"""In the order of the condition ``label``."""
RATE = 16_000
"""Hz."""
SAMPLES = 16_000
"""Samples of a recording as it is stored, one second."""
SPEC = SampleSpec("audio", (1, SAMPLES), LEVELS, {"label": Categorical(10)}, float(RATE))


def sc09(argument: str, data_dir: Path) -> Samples:
    """Spoken digits at 16 kHz: ``train``, ``validation`` and ``test`` by the data set's own lists,
    in the order of digit and file name.

    The stored view is int32 ``(N, 1, 16000)``, 16-bit PCM as levels 0 … 65535 with silence at 32768
    (``genbench.io.sounds``). Shorter recordings are followed by silence. The condition ``label`` is
    the digit, 0 … 9.

    The recordings lie in one of ``FOLDERS`` in ``data_dir``, of which the first that is there is
    read; other words beside them are not.

    Raises ``UsageError`` for another split or without the package soundfile; ``DataError`` if there
    is no such folder or list, or if recordings are missing, cannot be read, or are not mono at 16
    kHz.
    """
    split = choose_split("sc09", argument, ("train", *LISTS))
    folder = next((data_dir / name for name in FOLDERS if os.path.isdir(data_dir / name)), None)
    if folder is None:
        raise DataError(
            f"sc09: no {', '.join(FOLDERS[:-1])} or {FOLDERS[-1]} in {shown(data_dir)}; unpack "
            f"{SOURCE} there"
        )
    listed = {name: _listed(folder, file) for name, file in LISTS.items()}
    if split in listed:
        names = [name for name in listed[split] if name.partition("/")[0] in DIGITS]
    else:
        others = set().union(*listed.values())
        names = [name for name in _present(folder) if name not in others]
    if not names:
        raise DataError(f"sc09: {shown(folder)} has no recordings of digits for {split}")
    names.sort(key=lambda name: (DIGITS.index(name.partition("/")[0]), name))
    data = recordings(
        "sc09", folder, in_folder(folder), names, rate=RATE, samples=SAMPLES, source=SOURCE
    )
    labels = torch.tensor([DIGITS.index(name.partition("/")[0]) for name in names])
    return in_memory("sc09", split, SPEC, data, {"label": labels})


def _listed(folder: Path, file: str) -> list[str]:
    """The files in one of the lists. Raises ``DataError`` if it is not there."""
    try:
        return (folder / file).read_text(encoding="utf-8").split()
    except OSError as error:
        raise DataError(
            f"sc09: {shown(folder)} has no {file}; unpack all of {SOURCE} there"
        ) from error


def _present(folder: Path) -> list[str]:
    """The recordings of digits that are there."""
    return [
        f"{digit}/{entry.name}"
        for digit in DIGITS
        if os.path.isdir(folder / digit)
        for entry in os.scandir(folder / digit)
        if entry.name.endswith(".wav")
    ]
