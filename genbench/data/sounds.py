"""The sounds of a folder as samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from genbench.api import SampleSpec
from genbench.api.errors import DataError
from genbench.data.captions import METADATA
from genbench.data.manifest import MANIFESTS
from genbench.io.files import cause, contents, fitting, listed, shown
from genbench.io.moments import ReadSamples
from genbench.io.sound_files import BadSound, Sound, decode_sound
from genbench.io.sounds import LEVELS, SILENCE
from genbench.store import in_memory


def sound_folder(root: Path, names: Sequence[str]) -> ReadSamples:
    """The sounds (WAV, FLAC, OGG) of these names below ``root``, as 16-bit PCM by the rule of
    ``genbench.io.sound_files``: int32 ``(N, channels, samples)``, levels 0 … 65535, held in memory.

    Shorter sounds are followed by silence, as long as the longest; a note says so. The id holds the
    folder's name and the hash of the levels: the same sound in another format has the same id.

    Raises ``DataError`` that names up to 20 files that cannot be used, or two of different rates or
    channels; ``UsageError`` without the package soundfile.
    """
    with fitting(shown(root)):
        sounds = _read(root, names)
        _require_alike(root, names, sounds)
        lengths = [sound.levels.shape[1] for sound in sounds]
        rate, channels = sounds[0].rate, len(sounds[0].levels)
        data = np.full((len(sounds), channels, max(lengths)), SILENCE, np.int32)
        for row, sound in zip(data, sounds, strict=True):
            row[:, : sound.levels.shape[1]] = sound.levels
        spec = SampleSpec("audio", (channels, max(lengths)), LEVELS, rate=float(rate))
        folder = shown(root.resolve().name)
        samples = in_memory("folder", folder, spec, torch.from_numpy(data), {})
    notes = [f"{name} is not read beside sounds" for name in _beside(root)]
    shorter = sum(length < max(lengths) for length in lengths)
    if shorter:
        notes.append(
            f"{shorter:,} of {len(sounds):,} sounds, of {min(lengths) / rate:.3g} s or more, are "
            f"followed by silence up to the longest, {max(lengths) / rate:.3g} s"
        )
    return ReadSamples(**vars(samples), notes=tuple(notes))


def _read(root: Path, names: Sequence[str]) -> list[Sound]:
    sounds, bad = [], []
    for name in names:
        try:
            sounds.append(decode_sound(contents(f"{root}/{name}")[0]))
        except BadSound as error:
            bad.append(f"{shown(name)} ({error})")
        except OSError as error:
            bad.append(f"{shown(name)} ({cause(error)})")
    if bad:
        raise DataError(
            f"{shown(root)}: {len(bad):,} of {len(names):,} sounds cannot be used: {listed(bad)}; "
            "convert or remove them"
        )
    return sounds


def _require_alike(root: Path, names: Sequence[str], sounds: Sequence[Sound]) -> None:
    """Raises ``DataError`` that names a sound of the most frequent kind and one of another."""
    kinds = [sound.kind for sound in sounds]
    usual = Counter(kinds).most_common(1)[0][0]
    other = next((number for number, kind in enumerate(kinds) if kind != usual), None)
    if other is not None:
        raise DataError(
            f"{shown(root)}: mixed sounds: {shown(names[kinds.index(usual)])} is {usual}, "
            f"{shown(names[other])} is {kinds[other]}; make rates and channels equal"
        )


def _beside(root: Path) -> list[str]:
    return [name for name in (*METADATA, *MANIFESTS) if (root / name).exists()]
