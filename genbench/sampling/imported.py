"""A model that draws nothing: its samples were made elsewhere, by a system that cannot be run here,
and lie in a folder of pictures with a manifest.

It is no contestant of a method, and so stands beside what draws: the harness takes the pictures, in
the order of a suite's prompts if there are any. Their row cannot be rerun.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NoReturn, TypeAlias

import torch
from pydantic import AfterValidator
from torch import Tensor, nn

from genbench.api import Batch, Condition, PlayerStep, Progress, SampleSpec, Text
from genbench.api.errors import UsageError
from genbench.data.manifest import MANIFESTS, manifest_file
from genbench.io.files import cause
from genbench.store import read_regular


def resolve(path: str) -> str:
    """``"DIR"`` to ``"DIR@HASH"``, HASH being of the manifest, which holds that of every picture;
    the hash of ``"DIR@HASH"`` is compared.

    Raises ``UsageError`` for a folder that is not there, without a manifest or with two, and for a
    manifest of another hash than HASH.
    """
    folder, known = _split(path)
    if not folder.is_dir():
        raise UsageError(f"no folder {str(folder)!r} of samples")
    manifest = manifest_file(folder)
    if manifest is None:
        raise UsageError(f"{folder} has neither {' nor '.join(MANIFESTS)}")
    try:
        digest = hashlib.sha256(read_regular(manifest)).hexdigest()[:16]
    except OSError as error:
        raise UsageError(f"{manifest} cannot be read: {cause(error)}") from None
    if known not in (None, digest):
        raise UsageError(f"{manifest} is another than in {path!r}: its hash is {digest}")
    return f"{folder}@{digest}"


Folder: TypeAlias = Annotated[str, AfterValidator(resolve)]
"""A folder with a manifest, resolved to "DIR@HASH"."""


class ImportedSamples(nn.Module):
    """A model without networks, whose samples lie in a folder.

    Its conditions are the texts of the data, since the samples are those of a suite's prompts.
    """

    pretrained = True

    def __init__(self, spec: SampleSpec, path: str) -> None:
        super().__init__()
        folder, manifest = _split(resolve(path))
        self.samples_from = f"folder:{folder}"
        self.conditions = frozenset(
            name for name, kind in spec.condition.items() if isinstance(kind, Text)
        )
        self.players = nn.ModuleDict()
        self.noise_shape = spec.shape
        # A snapshot holds tensors; this one names the pictures.
        named = torch.frombuffer(bytearray.fromhex(manifest or ""), dtype=torch.uint8)
        self.register_buffer("manifest", named)

    def sample(self, noise: Tensor, condition: Condition) -> Tensor:
        raise UsageError("samples that were imported cannot be drawn")

    def optimization(self, player: str) -> NoReturn:
        raise UsageError("samples that were imported have nothing to train")

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        """None."""
        return iter(())


def samples(spec: SampleSpec, *, path: Folder) -> ImportedSamples:
    """Samples that were made elsewhere, in the folder ``path``, which has a manifest.

    The pictures must be of the shape of the data, ``spec``.
    """
    return ImportedSamples(spec, path)


def _split(path: str) -> tuple[Path, str | None]:
    named = re.fullmatch(r"(.+)@([0-9a-f]{16})", path)
    return Path(named[1] if named else path).expanduser(), named[2] if named else None
