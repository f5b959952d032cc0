"""Files of samples as data: ``npz:PATH``, and every other format by its suffix."""

from __future__ import annotations

import os
from pathlib import Path

from genbench.api import TensorSamples
from genbench.api.errors import UsageError
from genbench.io.arrays import read_content
from genbench.io.files import fitting, shown
from genbench.modalities.infer import infer_spec


def npz(argument: str, data_dir: Path) -> TensorSamples:
    """The samples in an ``.npz`` file, images or points; ``data_dir`` is not used.

    Raises ``UsageError`` without a path, and ``DataError`` as ``read_file`` does.
    """
    if not argument:
        raise UsageError("dataset 'npz' needs a path: npz:PATH")
    return read_file(Path(os.path.expanduser(argument)), ".npz")


def read_file(path: Path, suffix: str | None = None) -> TensorSamples:
    """The samples in a file whose ``suffix`` is ``.npz``, ``.npy``, ``.pt`` or ``.safetensors``.

    Raises ``DataError`` as ``read_content`` and ``infer_spec`` do.
    """
    where = shown(path)
    with fitting(where):
        content = read_content(path, suffix or path.suffix)
        return infer_spec(where, content, "file", shown(path.name))
