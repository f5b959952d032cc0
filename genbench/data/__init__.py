"""Data sources, one file each, and ``open_samples``, which finds the right one for a reference.

A factory of the group ``genbench.datasets`` takes the text after the colon of ``NAME:ARGUMENT`` and
the folder where downloaded sets lie. Importing this package does not import torch.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench import registry
from genbench.api import Samples
from genbench.api.errors import DataError, UnknownName, UsageError, did_you_mean
from genbench.io.files import shown

if TYPE_CHECKING:
    from genbench.io.moments import Moments, ReadSamples

FILES = (".npz", ".npy", ".pt", ".pth", ".safetensors")
"""The suffixes of files that hold samples, in lower case."""


def open_samples(reference: str, data_dir: Path) -> Samples:
    """The samples that a user refers to: ``NAME[:ARGUMENT]``, a file of samples, or a folder.

    A registered name comes first, so that a folder called ``digits`` is written ``./digits``.

    Raises ``UsageError`` if the text is none of these, ``DataError`` if what it names cannot
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
    if path.suffix.lower() in FILES:
        from genbench.data.files import read_file

        return read_file(path)
    if os.path.isfile(path):
        raise UsageError(
            f"{shown(path)}: cannot tell what this file holds; known: {', '.join(FILES)}"
        )
    if reference and (os.path.lexists(path) or os.sep in reference or "/" in reference):
        raise DataError(f"{shown(path)}: {_obstacle(path)}")
    raise UnknownName("dataset, file or folder", name, known)


def open_reference(reference: str, data_dir: Path) -> Samples | Moments:
    """``open_samples``, or the published statistics in an ``.npz`` file (``open_moments``). Samples
    that have statistics beside them are ``ReadSamples`` with both.

    Raises as both do.
    """
    file = reference.removeprefix("npz:")
    if file.lower().endswith(".npz") and file.partition(":")[0] not in registry.datasets.names():
        from genbench.io.moments import open_moments

        moments = open_moments(Path(os.path.expanduser(file)))
        if moments is not None:
            return moments
    return open_samples(reference, data_dir)


def from_array(array: Any, name: str = "array") -> ReadSamples:
    """The samples in a numpy array, or in a tensor on any device, by the rules of
    ``genbench.modalities.infer``: images ``(N, C, H, W)``, ``(N, H, W, C)`` or ``(N, H, W)``, of
    integers or of reals in [0, 1], or points ``(N, D)`` of reals. The id is ``array:name@hash``.

    Raises ``DataError`` for anything else. ``name`` is for the messages and the id.
    """
    from genbench.io.arrays import Content, as_array
    from genbench.io.files import fitting
    from genbench.modalities.infer import infer_spec

    with fitting(name):
        return infer_spec(name, Content(as_array(name, array)), "array", name)


def choose_split(dataset: str, argument: str, splits: Sequence[str] = ("train", "test")) -> str:
    """The split that ``argument`` names; ``""`` means ``"train"``. Raises ``UsageError``."""
    split = argument or "train"
    if split not in splits:
        raise UsageError(f"dataset {dataset!r} has no split {split!r}{did_you_mean(split, splits)}")
    return split


def _obstacle(path: Path) -> str:
    try:
        os.stat(path)
    except FileNotFoundError:
        return "no such file or folder"
    except OSError as error:
        return error.strerror or str(error)
    return "neither a file nor a folder"
