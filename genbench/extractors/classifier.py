"""Small classifiers of grey pictures, whose weights ship with the package."""

from __future__ import annotations

import hashlib
import json
from importlib.resources.abc import Traversable

import torch
from torch import Tensor, nn

from genbench.api import Features, SampleSpec
from genbench.api.errors import GenbenchError
from genbench.devices.hardware import full_float32
from genbench.store import unpack_tensors


class Classifier:
    """The spatial mean of the last convolution, and the logits.

    Not the layer before the logits: it is trained to distinguish ten classes and forgets the rest
    of a picture, so that junk among the samples hardly changes a distance there. The mean is taken
    before the convolution's outputs saturate, since that would hide how far off they are.
    """

    resize = "none"

    def __init__(self, id: str, network: nn.Module, shape: tuple[int, ...], levels: int) -> None:
        """``network``: from pictures ``(B, *shape)`` in [0, 1] to features and logits."""
        self.id = id
        self._network = network.eval().requires_grad_(False)
        self._shape = shape
        self._levels = levels

    def supports(self, spec: SampleSpec) -> str | None:
        if (spec.modality, spec.shape, spec.levels) == ("image", self._shape, self._levels):
            return None
        name = self.id.partition("@")[0]
        return (
            f"the {name} extractor sees images of shape {self._shape} with {self._levels} levels, "
            f"not {spec.modality} of shape {spec.shape} with {spec.levels} levels"
        )

    def to(self, device: torch.device | str) -> Classifier:
        self._network.to(device)
        return self

    @torch.no_grad()
    def __call__(self, stored: Tensor, spec: SampleSpec) -> Features:
        """``features``: ``(B, D)``; ``logits``: ``(B, 10)``; both float32, any real value."""
        device = next(self._network.parameters()).device
        with full_float32():
            features, logits = self._network(stored.to(device).float() / (self._levels - 1))
        return {"features": features, "logits": logits}


def shipped(
    folder: Traversable, name: str, network: nn.Module, shape: tuple[int, ...], levels: int
) -> Classifier:
    """The classifier with the weights ``name.safetensors``, whose hash is in the metadata
    ``name.json``. Raises ``GenbenchError`` if they are damaged."""
    weights = folder.joinpath(f"{name}.safetensors")
    data = weights.read_bytes()
    metadata = json.loads(folder.joinpath(f"{name}.json").read_text(encoding="utf-8"))
    digest = hashlib.sha256(data).hexdigest()
    if digest != metadata["sha256"]:
        raise GenbenchError(f"{weights} is damaged: install genbench again")
    network.load_state_dict(unpack_tensors(data))
    return Classifier(f"{name}@{digest[:12]}", network, shape, levels)
