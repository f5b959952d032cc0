"""The diffusions as the harness meets them: by name, with options from a file."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from genbench import registry
from genbench.api import Categorical, Condition, SampleSpec

LABELS = {"label": Categorical(5)}
DIGITS = SampleSpec("image", (1, 8, 8), 17, LABELS)
POINTS = SampleSpec("points", (2,), None, LABELS)
SPECS = [
    DIGITS,
    POINTS,
    SampleSpec("audio", (1, 16), condition=LABELS),
    SampleSpec("video", (3, 4, 4, 4), condition=LABELS),
]
TRAINED: list[tuple[str, dict[str, Any]]] = [
    ("ddpm", {}),
    ("ddpm", {"variance": "learned"}),
    ("ddpm", {"schedule": "cosine", "prediction": "v", "weighting": "min-snr"}),
    ("ddpm", {"prediction": "x0"}),
    ("score-sde", {}),
    ("score-sde", {"sde": "subvp"}),
    ("score-sde", {"sde": "ve"}),
    ("edm", {}),
    ("flow-matching", {}),
    ("consistency", {}),
]
"""Trainings, by name and options."""


def build(name: str, spec: SampleSpec, options: dict[str, Any]) -> Any:
    factory = registry.models.get(name)
    torch.manual_seed(0)
    checked = registry.check_options(name, factory, {"channels": 4} | options)
    model = registry.call(factory, spec, **checked)
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.02)
    return model.eval()


def condition(model: Any, count: int) -> Condition:
    return {"label": torch.arange(count) % 5} if model.conditions else {}


def sample(model: Any, noise: Tensor, options: dict[str, Any]) -> Tensor:
    torch.manual_seed(1)
    checked = registry.check_options("sample", model.sample, options)
    out: Tensor = model.sample(noise, condition(model, len(noise)), **checked)
    return out
