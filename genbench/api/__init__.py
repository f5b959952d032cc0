"""The types that all of genbench shares; plugins import nothing else.

``genbench.api.errors`` has the errors, ``genbench.api.seeding`` the random streams. Importing this
package does not import torch.
"""

from __future__ import annotations

from genbench.api.conditions import (
    LENGTH,
    Categorical,
    Condition,
    ConditionSpec,
    Text,
    Texts,
    Vector,
)
from genbench.api.execution import (
    ENDINGS,
    Answers,
    Executor,
    Failure,
    Job,
    Observer,
    ProgressCallback,
    ProgressEvent,
    Resources,
    Rows,
)
from genbench.api.extractors import FeatureExtractor, Features
from genbench.api.metrics import Estimate, Metric, Output
from genbench.api.modalities import INK, Drawing, Figure, Frames, Modality, Shown
from genbench.api.models import Codec, GenerativeModel, Optimization, PlayerStep, Progress, Variant
from genbench.api.samples import (
    CONTROL,
    REAL,
    RECONSTRUCTION,
    Augmentation,
    Batch,
    Samples,
    SampleSpec,
    TensorSamples,
)

__all__ = [
    "CONTROL",
    "ENDINGS",
    "INK",
    "LENGTH",
    "REAL",
    "RECONSTRUCTION",
    "Answers",
    "Augmentation",
    "Batch",
    "Categorical",
    "Codec",
    "Condition",
    "ConditionSpec",
    "Drawing",
    "Estimate",
    "Executor",
    "Failure",
    "FeatureExtractor",
    "Features",
    "Figure",
    "Frames",
    "GenerativeModel",
    "Job",
    "Metric",
    "Modality",
    "Observer",
    "Optimization",
    "Output",
    "PlayerStep",
    "Progress",
    "ProgressCallback",
    "ProgressEvent",
    "Resources",
    "Rows",
    "SampleSpec",
    "Samples",
    "Shown",
    "TensorSamples",
    "Text",
    "Texts",
    "Variant",
    "Vector",
]
