"""Small classifiers of pictures and of sounds, whose weights ship with the package."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from importlib.resources.abc import Traversable
from typing import TypeVar

import torch
from torch import Tensor, nn

from genbench.api import Features, SampleSpec
from genbench.api.errors import GenbenchError
from genbench.devices.hardware import full_float32
from genbench.store import unpack_tensors


class Classifier:
    """The spatial mean of the last convolution, and the logits.

    Not the layer before the logits: it is trained to distinguish ten classes and forgets the rest
    of a sample, so that junk among the samples hardly changes a distance there. The mean is taken
    before the convolution's outputs saturate, since that would hide how far off they are.
    """

    resize = "none"

    def __init__(self, id: str, network: nn.Module, spec: SampleSpec) -> None:
        """``network``: from samples like ``spec``, scaled to [0, 1], to features and logits. The
        conditions of ``spec`` do not matter."""
        assert spec.levels is not None
        self.id = id
        self._network = network.eval().requires_grad_(False)
        self._spec = spec
        self._highest = spec.levels - 1

    def supports(self, spec: SampleSpec) -> str | None:
        if replace(spec, condition={}) == replace(self._spec, condition={}):
            return None
        name = self.id.partition("@")[0]
        return f"the {name} extractor sees {_described(self._spec)}, not {_described(spec)}"

    def to(self, device: torch.device | str) -> Classifier:
        self._network.to(device)
        return self

    @torch.no_grad()
    def __call__(self, stored: Tensor, spec: SampleSpec) -> Features:
        """``features``: ``(B, D)``; ``logits``: ``(B, K)``; both float32, any real value."""
        device = next(self._network.parameters()).device
        with full_float32():
            features, logits = self._network(stored.to(device).float() / self._highest)
        return {"features": features, "logits": logits}


def _described(spec: SampleSpec) -> str:
    levels = "real values" if spec.levels is None else f"{spec.levels} levels"
    rate = "" if spec.rate is None else f" at {spec.rate:g} Hz"
    return f"{spec.modality} samples of shape {spec.shape} with {levels}{rate}"


Kind = TypeVar("Kind", bound=Classifier)


def shipped(
    folder: Traversable, name: str, network: nn.Module, spec: SampleSpec, kind: type[Kind]
) -> Kind:
    """The classifier of samples like ``spec`` with the weights ``name.safetensors``, whose hash is
    in the metadata ``name.json``. Raises ``GenbenchError`` if they are damaged."""
    weights = folder.joinpath(f"{name}.safetensors")
    data = weights.read_bytes()
    metadata = json.loads(folder.joinpath(f"{name}.json").read_text(encoding="utf-8"))
    digest = hashlib.sha256(data).hexdigest()
    if digest != metadata["sha256"]:
        raise GenbenchError(f"{weights} is damaged: install genbench again")
    network.load_state_dict(unpack_tensors(data))
    return kind(f"{name}@{digest[:12]}", network, spec)


def convolution(channels: int, out_channels: int) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """Of 3×3 pixels, and a batch norm in the place of its bias."""
    return (
        nn.Conv2d(channels, out_channels, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
    )
