"""The words that every part of genbench shares, and all that a plugin imports.

``genbench.api.errors`` has the errors, ``genbench.api.seeding`` the random streams. Importing this
package does not import torch.
"""

from __future__ import annotations

from genbench.api.conditions import Categorical, Condition, ConditionSpec
from genbench.api.execution import Answers, Executor, Failure, Job, Observer, Resources, Rows
from genbench.api.extractors import FeatureExtractor, Features
from genbench.api.metrics import Estimate, Metric
from genbench.api.models import GenerativeModel, Optimization, PlayerStep, Progress, Variant
from genbench.api.progress import ENDINGS, ProgressCallback, ProgressEvent
from genbench.api.samples import REAL, Batch, Samples, SampleSpec, TensorSamples

__all__ = [
    "ENDINGS",
    "REAL",
    "Answers",
    "Batch",
    "Categorical",
    "Condition",
    "ConditionSpec",
    "Estimate",
    "Executor",
    "Failure",
    "FeatureExtractor",
    "Features",
    "GenerativeModel",
    "Job",
    "Metric",
    "Observer",
    "Optimization",
    "PlayerStep",
    "Progress",
    "ProgressCallback",
    "ProgressEvent",
    "Resources",
    "Rows",
    "SampleSpec",
    "Samples",
    "TensorSamples",
    "Variant",
]
