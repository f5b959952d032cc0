"""Recordings of known names, rate and length, as samples of one length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genbench.api.errors import DataError
from genbench.io.files import cause, contents, listed, shown
from genbench.io.sound_files import BadSound, decode_sound
from genbench.io.sounds import SILENCE

Read = Callable[[str], bytes]
"""The bytes of a recording, by its file's name; raises ``KeyError`` or ``FileNotFoundError`` if it
is not there."""


def in_folder(folder: Path) -> Read:
    """Reads the files of a folder."""
    return lambda name: contents(f"{folder}/{name}")[0]


def recordings(
    dataset: str,
    where: Path,
    read: Read,
    names: Sequence[str],
    *,
    rate: int,
    samples: int,
    source: str,
) -> Tensor:
    """Mono recordings in the stored view, int32 ``(N, 1, samples)`` in levels 0 … 65535. Shorter
    ones are followed by silence, longer ones cut at their end.

    Raises ``DataError`` for the first that cannot be read, or is not mono at ``rate``, and for all
    that are missing, which ``source`` has; ``UsageError`` without the package soundfile.
    """
    data = np.full((len(names), 1, samples), SILENCE, np.int32)
    missing = []
    for row, name in zip(data, names, strict=True):
        try:
            sound = decode_sound(read(name))
        except (KeyError, FileNotFoundError):
            missing.append(name)
            continue
        except BadSound as error:
            raise DataError(f"{shown(where)}: {name}: {error}") from error
        except OSError as error:
            raise DataError(f"{shown(where)}: {name}: {cause(error)}") from error
        if sound.rate != rate or len(sound.levels) != 1:
            raise DataError(
                f"{shown(where)}: {name}: {sound.kind}; the recordings of {dataset} are mono at "
                f"{rate} Hz"
            )
        kept = sound.levels[:, :samples]
        row[:, : kept.shape[1]] = kept
    if missing:
        raise DataError(
            f"{shown(where)}: {len(missing):,} of {len(names):,} recordings are missing: "
            f"{listed(missing)}; get them all from {source}"
        )
    return torch.from_numpy(data)
