"""Tensors as bytes, and the names that their contents give to tensors and samples."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from genbench.api import Condition, SampleSpec, TensorSamples, Texts
from genbench.store.artefacts import fingerprint

if TYPE_CHECKING:
    from torch import Tensor


def pack_tensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """Tensors as safetensors bytes. Tensors that share memory, as tied weights do, are each stored
    whole."""
    from safetensors.torch import save

    whole: dict[str, Tensor] = {}
    places: set[int] = set()
    for name, value in tensors.items():
        tensor = value.detach().cpu().contiguous()
        place = tensor.untyped_storage().data_ptr()
        whole[name] = tensor.clone() if place in places else tensor
        places.add(place)
    return save(whole, dict(metadata or {}))


def unpack_tensors(data: bytes) -> dict[str, Tensor]:
    """The inverse of ``pack_tensors``; tensors on the CPU."""
    from safetensors.torch import load

    return load(data)


def pack_state(state: Mapping[str, Any]) -> bytes:
    """Nested dictionaries of tensors and plain values (an optimiser's state, say) as bytes."""
    import torch

    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    return buffer.getvalue()


def unpack_state(data: bytes) -> dict[str, Any]:
    """The inverse of ``pack_state``. Nothing but tensors and plain values is ever constructed."""
    import torch

    state: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return state


def hash_tensor(*tensors: Tensor) -> str:
    """16 hexadecimal digits that name the dtypes, shapes and contents of tensors."""
    digest = hashlib.sha256()
    for tensor in tensors:
        array = tensor.detach().cpu().contiguous().numpy()
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def in_memory(
    name: str,
    split: str,
    spec: SampleSpec,
    data: Tensor,
    condition: Condition,
    texts: Texts | None = None,
) -> TensorSamples:
    """Samples with the id ``name:split@hash``.

    ``data`` is ``(N, *spec.shape)`` in the stored view; ``condition`` has N rows for each name in
    ``spec.condition``, ``texts`` N texts for those whose words are known. The hash covers the spec
    too: the same integers are other samples under other levels.
    """
    ordered = dict(sorted(condition.items()))
    parts: list[Any] = [spec.to_dict(), hash_tensor(data, *ordered.values())]
    words = {name: list(said) for name, said in (texts or {}).items()}
    if words:
        parts.append(words)
    return TensorSamples(spec, f"{name}:{split}@{fingerprint(parts)}", data, ordered, words)
