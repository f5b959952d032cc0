"""Samples held whole in memory, and the id that names their contents."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from genbench.api import Condition, SampleSpec, TensorSamples, Texts
from genbench.store import fingerprint, hash_tensor


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
