"""The words that every part of genbench shares, and all that a plugin imports.

``genbench.api.errors`` has the errors, ``genbench.api.seeding`` the random streams. Importing this
package does not import torch.
"""

from __future__ import annotations

from genbench.api.conditions import Categorical, Condition, ConditionSpec
from genbench.api.extractors import FeatureExtractor, Features
from genbench.api.metrics import Estimate, Metric, Output
from genbench.api.models import GenerativeModel, Optimization, PlayerStep, Progress, Variant
from genbench.api.progress import ENDINGS, ProgressCallback, ProgressEvent
from genbench.api.samples import REAL, Batch, Samples, SampleSpec, TensorSamples

__all__ = [
    "ENDINGS",
    "REAL",
    "Batch",
    "Categorical",
    "Condition",
    "ConditionSpec",
    "Estimate",
    "FeatureExtractor",
    "Features",
    "GenerativeModel",
    "Metric",
    "Optimization",
    "Output",
    "PlayerStep",
    "Progress",
    "ProgressCallback",
    "ProgressEvent",
    "SampleSpec",
    "Samples",
    "TensorSamples",
    "Variant",
]
