"""Samples held whole in memory, and the id that names their contents."""

from __future__ import annotations

from dataclasses import asdict

from torch import Tensor

from genbench.api import Condition, SampleSpec, TensorSamples
from genbench.store import fingerprint, hash_tensor


def in_memory(
    name: str, split: str, spec: SampleSpec, data: Tensor, condition: Condition
) -> TensorSamples:
    """Samples with the id ``name:split@hash``.

    ``data`` is ``(N, *spec.shape)`` in the stored view; ``condition`` has ``(N,)`` int64 for each
    name in ``spec.condition``. The hash covers the spec too: the same integers are other samples
    under other levels.
    """
    ordered = dict(sorted(condition.items()))
    content = fingerprint([asdict(spec), hash_tensor(data, *ordered.values())])
    return TensorSamples(spec, f"{name}:{split}@{content}", data, ordered)
