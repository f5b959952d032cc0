"""What samples mean, one file a modality: which are possible, how they are shown and written.

A plugin registers a ``Modality`` under ``genbench.modalities``. Nothing else in genbench asks for a
modality by name. Importing this package does not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genbench import registry
from genbench.api import Modality, SampleSpec
from genbench.api.errors import DataError


def find(spec: SampleSpec) -> Modality | None:
    """What is registered for samples of ``spec``; ``None`` where nothing is, which costs their
    pictures alone. Raises ``UsageError`` and ``PluginError`` as ``Registry.get`` does."""
    if spec.modality not in registry.modalities.names():
        return None
    found: Modality = registry.modalities.get(spec.modality)
    return found


def require(spec: SampleSpec) -> Modality:
    """What is registered for samples of ``spec``. Raises ``DataError`` where nothing is, or no
    sample can be of this spec; otherwise as ``find`` does."""
    found = find(spec)
    if found is None or found.check(spec) is not None:
        shape = "×".join(str(side) for side in spec.shape)
        raise DataError(f"no picture of samples of modality {spec.modality!r} and shape {shape}")
    return found


def impossible(spec: SampleSpec) -> str | None:
    """Why no sample can be of ``spec``, by the rules of its modality; or ``None``."""
    found = find(spec)
    return None if found is None else found.check(spec)


def description(spec: SampleSpec) -> dict[str, Any]:
    """What a file of shown samples says beside the array itself."""
    return {"modality": spec.modality, "levels": spec.levels} | (
        {} if spec.rate is None else {"rate": spec.rate}
    )


def described(said: Mapping[str, Any], shape: tuple[int, ...]) -> SampleSpec:
    """The inverse of ``description``. Raises ``KeyError`` where a part is missing."""
    return SampleSpec(said["modality"], shape, said["levels"], rate=said.get("rate"))
