"""What samples mean, one file a modality: which are possible, how they are shown and written.

A plugin registers a ``Modality`` under ``genbench.modalities``. Nothing else in genbench asks for a
modality by name. Importing this package does not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench import registry, store
from genbench.api import Modality, SampleSpec, Shown, TensorSamples
from genbench.api.errors import DataError, UsageError

if TYPE_CHECKING:
    from torch import Tensor


def find(spec: SampleSpec) -> Modality | None:
    """The modality of samples of ``spec``; ``None`` if none is registered, so that only their
    pictures are missing. Raises ``UsageError`` and ``PluginError`` as ``Registry.get`` does."""
    if spec.modality not in registry.modalities.names():
        return None
    found: Modality = registry.modalities.get(spec.modality)
    return found


def require(spec: SampleSpec) -> Modality:
    """The modality of samples of ``spec``. Raises ``DataError`` if none is registered, or if no
    sample can have this spec; otherwise as ``find`` does."""
    found = find(spec)
    if found is None or found.check(spec) is not None:
        shape = "×".join(str(side) for side in spec.shape)
        raise DataError(f"no picture of samples of modality {spec.modality!r} and shape {shape}")
    return found


def impossible(spec: SampleSpec) -> str | None:
    """Why no sample can be of ``spec``, by the rules of its modality; or ``None``."""
    found = find(spec)
    return None if found is None else found.check(spec)


def require_writable(out: Path, spec: SampleSpec) -> None:
    """Raises ``UsageError`` unless ``write_samples`` knows the suffix of ``out``."""
    found = find(spec)
    known = [".npz", *sorted(found.writers if found else ())]
    if out.suffix not in known:
        raise UsageError(f"--out {out}: samples are written as {' or '.join(known)}")


def write_samples(
    out: Path, samples: TensorSamples, beside: Mapping[str, Tensor] | None = None
) -> None:
    """Write samples to ``out``: an ``.npz`` that is read again as it was, with the arrays
    ``beside`` them, or a file that their modality knows, which has the samples alone. Raises as
    ``require_writable`` does, and ``store.CannotWrite``."""
    require_writable(out, samples.spec)
    if out.suffix == ".npz":
        from genbench.io.arrays import save_npz

        save_npz(out, samples, beside)
        return
    write = require(samples.spec).writers[out.suffix]
    with registry.wrap_plugin_errors(f"modality {samples.spec.modality!r} failed"):
        data = write(Shown(samples.data.cpu().numpy(), samples.spec))
    store.write_bytes(out, data)


def description(spec: SampleSpec) -> dict[str, Any]:
    """What a file of shown samples says beside the array itself."""
    return {"modality": spec.modality, "levels": spec.levels} | (
        {} if spec.rate is None else {"rate": spec.rate}
    )


def described(said: Mapping[str, Any], shape: tuple[int, ...]) -> SampleSpec:
    """The inverse of ``description``. Raises ``KeyError`` if a part is missing."""
    return SampleSpec(said["modality"], shape, said["levels"], rate=said.get("rate"))
