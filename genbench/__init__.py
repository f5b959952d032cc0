"""genbench: generative models on equal footing. The public names, nothing else.

Importing this package does not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genbench import registry
from genbench.api import (
    Batch,
    Categorical,
    Estimate,
    Optimization,
    Output,
    PlayerStep,
    Progress,
    SampleSpec,
    TensorSamples,
    Variant,
)

if TYPE_CHECKING:
    from genbench.evaluation import Scores, evaluate

__all__ = [
    "Batch",
    "Categorical",
    "Estimate",
    "Optimization",
    "Output",
    "PlayerStep",
    "Progress",
    "SampleSpec",
    "Scores",
    "TensorSamples",
    "Variant",
    "evaluate",
    "registry",
]


def __getattr__(name: str) -> Any:
    """``evaluate`` and ``Scores`` need torch: they are imported when first asked for."""
    if name in ("evaluate", "Scores"):
        from genbench import evaluation

        return getattr(evaluation, name)
    raise AttributeError(f"module 'genbench' has no attribute {name!r}")
