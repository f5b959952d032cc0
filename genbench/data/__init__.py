"""Data sources, one file each, and ``open_samples``, which finds the right one for a reference.

A factory of the group ``genbench.datasets`` takes the text after the colon of ``NAME:ARGUMENT`` and
the folder where downloaded sets lie. Importing this package does not import torch.
"""

from __future__ import annotations

import os
from pathlib import Path

from genbench import registry
from genbench.errors import DataError, UnknownName, UsageError
from genbench.types import Samples

FILES = (".npz", ".npy", ".pt", ".safetensors")
"""The suffixes of files that hold samples."""


def open_samples(reference: str, data_dir: Path) -> Samples:
    """The samples that a user refers to: ``NAME[:ARGUMENT]``, a file of samples, or a folder.

    A registered name comes first, so that a folder called ``digits`` is written ``./digits``.

    Raises ``UsageError`` where the text is none of these, ``DataError`` where what it names cannot
    be read, and whatever else ``Registry.make`` raises.
    """
    name, _, argument = reference.partition(":")
    known = registry.datasets.names()
    if name in known:
        samples: Samples = registry.datasets.make(name, argument, data_dir)
        return samples
    path = Path(os.path.expanduser(reference))
    if reference and os.path.isdir(path):
        from genbench.data.folder import folder

        return folder(reference, data_dir)
    if path.suffix in FILES:
        from genbench.data.arrays import read_file

        return read_file(path)
    if os.path.isfile(path):
        raise UsageError(f"{path}: cannot tell what this file holds; known: {', '.join(FILES)}")
    if os.sep in reference or "/" in reference:
        raise DataError(f"{path}: no such file or folder")
    raise UnknownName("dataset, file or folder", name, known)
