"""A small classifier of 8×8 handwritten digits, whose weights ship with the package."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files

import torch
from torch import Tensor, nn

from genbench.errors import GenbenchError
from genbench.precision import full_float32
from genbench.storage import unpack_tensors
from genbench.types import Features, SampleSpec

SHAPE = (1, 8, 8)
LEVELS = 17
WEIGHTS = "digits.safetensors"
CARD = "digits.json"


class DigitsNetwork(nn.Module):
    """Two convolutions at 8×8, one at 4×4, and a classifier that still sees where things are.

    The features are taken before the last unit saturates: junk, residual noise and a missing class
    move the Fréchet distance more there than behind it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, 32, kernel_size=3, padding=1),
            nn.Tanh(),
            nn.Conv2d(32, 64, kernel_size=3, padding=1),
            nn.Tanh(),
            nn.MaxPool2d(2),
            nn.Conv2d(64, 64, kernel_size=3, padding=1),
        )
        self.classifier = nn.Sequential(
            nn.Tanh(), nn.Flatten(), nn.Linear(64 * 4 * 4, 48), nn.Tanh(), nn.Linear(48, 10)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, 1, 8, 8)`` in [0, 1] → features ``(B, 64)``, logits ``(B, 10)``."""
        maps = self.convolutions(x)
        return maps.mean(dim=(2, 3)), self.classifier(maps)


class Digits:
    """The spatial mean of the last convolution, and the logits.

    Not the layer before the logits: trained to tell ten classes apart, it forgets what else a
    picture shows, so that junk among the samples hardly moves a distance there.
    """

    resize = "none"

    def __init__(self, network: DigitsNetwork, id: str) -> None:
        self.id = id
        self._network = network.eval().requires_grad_(False)

    def supports(self, spec: SampleSpec) -> str | None:
        if spec.modality == "image" and spec.shape == SHAPE and spec.levels == LEVELS:
            return None
        return (
            f"the digits extractor sees images of shape {SHAPE} with {LEVELS} levels, "
            f"not {spec.modality} of shape {spec.shape} with {spec.levels} levels"
        )

    def to(self, device: torch.device | str) -> Digits:
        self._network.to(device)
        return self

    @torch.no_grad()
    def __call__(self, stored: Tensor, spec: SampleSpec) -> Features:
        """``features``: ``(B, 64)``; ``logits``: ``(B, 10)``; both float32, any real value."""
        device = next(self._network.parameters()).device
        with full_float32():
            features, logits = self._network(stored.to(device).float() / (LEVELS - 1))
        return {"features": features, "logits": logits}


def digits() -> Digits:
    """A classifier of 8×8 digits: pooled last convolution (64-d) and logits."""
    package = files("genbench.extractors")
    data = package.joinpath(WEIGHTS).read_bytes()
    card = json.loads(package.joinpath(CARD).read_text(encoding="utf-8"))
    digest = hashlib.sha256(data).hexdigest()
    if digest != card["sha256"]:
        raise GenbenchError(f"{package.joinpath(WEIGHTS)} is damaged: install genbench again")
    network = DigitsNetwork()
    network.load_state_dict(unpack_tensors(data))
    return Digits(network, f"digits@{digest[:12]}")
