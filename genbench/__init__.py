"""genbench: generative models on equal footing. The public names, nothing else.

Importing this package does not import torch: what needs it is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
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
    from genbench.analysis.curves import stability
    from genbench.devices.hardware import DeviceOptions
    from genbench.evaluation import Scores
    from genbench.experiment.doctor import doctor
    from genbench.experiment.plan import plan
    from genbench.experiment.reproduce import reproduce
    from genbench.experiment.results import Results, load
    from genbench.experiment.run import run
    from genbench.experiment.scoring import evaluate
    from genbench.experiment.sensitivity import sensitivity
    from genbench.experiment.single import sample, show, train
    from genbench.suite import Entry, Score, Suite
    from genbench.testing import check

__all__ = [
    "Batch",
    "Categorical",
    "DeviceOptions",
    "Entry",
    "Estimate",
    "Optimization",
    "Output",
    "PlayerStep",
    "Progress",
    "Results",
    "SampleSpec",
    "Score",
    "Scores",
    "Suite",
    "TensorSamples",
    "Variant",
    "check",
    "doctor",
    "evaluate",
    "load",
    "plan",
    "registry",
    "reproduce",
    "run",
    "sample",
    "sensitivity",
    "show",
    "stability",
    "train",
]

_LAZY = {
    "DeviceOptions": "genbench.devices.hardware",
    "Entry": "genbench.suite",
    "Results": "genbench.experiment.results",
    "Score": "genbench.suite",
    "Scores": "genbench.evaluation",
    "Suite": "genbench.suite",
    "check": "genbench.testing",
    "doctor": "genbench.experiment.doctor",
    "evaluate": "genbench.experiment.scoring",
    "load": "genbench.experiment.results",
    "plan": "genbench.experiment.plan",
    "reproduce": "genbench.experiment.reproduce",
    "run": "genbench.experiment.run",
    "sample": "genbench.experiment.single",
    "sensitivity": "genbench.experiment.sensitivity",
    "show": "genbench.experiment.single",
    "stability": "genbench.analysis.curves",
    "train": "genbench.experiment.single",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'genbench' has no attribute {name!r}")
