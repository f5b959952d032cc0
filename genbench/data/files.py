"""Files of samples as data: ``npz:PATH``, and every other format by its suffix."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from genbench.api.errors import UsageError
from genbench.io.arrays import read_content
from genbench.io.files import fitting, shown
from genbench.io.moments import ReadSamples, moments_of
from genbench.modalities.infer import infer_spec
from genbench.store import fingerprint


def npz(argument: str, data_dir: Path) -> ReadSamples:
    """The samples in an ``.npz`` file: images, points or sounds. ``data_dir`` is not used.

    Raises ``UsageError`` without a path, and ``DataError`` as ``read_file`` does.
    """
    if not argument:
        raise UsageError("dataset 'npz' needs a path: npz:PATH")
    return read_file(Path(os.path.expanduser(argument)), ".npz")


def read_file(path: Path, suffix: str | None = None) -> ReadSamples:
    """The samples in a file whose ``suffix`` is one of ``genbench.data.FILES``, with the statistics
    beside them, which are then part of the id.

    Raises ``DataError`` as ``read_content``, ``infer_spec`` and ``moments_of`` do.
    """
    where, name = shown(path), shown(path.name)
    with fitting(where):
        content = read_content(path, suffix or path.suffix)
        samples = infer_spec(where, content, "file", name)
        if not content.statistics:
            return samples
        moments = moments_of(where, name, content.statistics)
        identity = f"file:{name}@{fingerprint([samples.id, moments.id])}"
        return replace(samples, id=identity, moments=moments)
