"""What the networks of RGB photographs share: resize the whole picture, embed it in full float32.

On the CPU they run with their channels last in memory, and with their batch norms folded into the
convolutions: the same features in less time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

from genbench.api import Features, SampleSpec
from genbench.devices.hardware import full_float32
from genbench.extractors.resize import Rule

CHUNK = 32
"""Pictures that pass through a network at once: the first layers of Inception hold 8 MB of each,
so that a larger batch takes gigabytes and is not faster."""

IMAGENET: Mapping[str, tuple[float, ...]] = {
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
}
"""Of ImageNet's channels, in [0, 1]."""


class RgbNetwork(nn.Module):
    """From levels 0 … 255, float32 ``(B, 3, side, side)``, to features by name."""

    side: int


class RgbExtractor:
    """A network of RGB pictures with 256 levels. Its weights are read when they are first needed:
    ``supports`` answers without them."""

    def __init__(self, name: str, rule: Rule, load: Callable[[], tuple[RgbNetwork, str]]) -> None:
        """``load``: the network, and the SHA-256 of its weights."""
        self.resize = rule.name
        self._name = name
        self._rule = rule
        self._load = load

    @property
    def id(self) -> str:
        return f"{self._name}@{self._loaded[1][:12]}"

    @cached_property
    def _loaded(self) -> tuple[RgbNetwork, str]:
        network, digest = self._load()
        network.eval().requires_grad_(False)
        return network, digest

    @property
    def network(self) -> RgbNetwork:
        """With its weights, which are read when first asked for."""
        return self._loaded[0]

    def supports(self, spec: SampleSpec) -> str | None:
        channels, axes = spec.shape[:1], len(spec.shape)
        if (spec.modality, axes, channels, spec.levels) == ("image", 3, (3,), 256):
            return None
        return (
            f"the {self._name} extractor sees RGB images with 256 levels, "
            f"not {spec.modality} of shape {spec.shape} with {spec.levels} levels"
        )

    def to(self, device: torch.device | str) -> RgbExtractor:
        on_cpu = torch.device(device).type == "cpu"
        layout = torch.channels_last if on_cpu else torch.contiguous_format
        move: Callable[..., nn.Module] = self.network.to
        move(device=device, memory_format=layout)
        return self

    @torch.no_grad()
    def __call__(self, stored: Tensor, spec: SampleSpec) -> Features:
        """Features by name, float32, one row a picture."""
        device = next(self.network.parameters()).device
        parts: list[dict[str, Tensor]] = []
        with full_float32():
            for chunk in torch.split(stored, CHUNK):
                levels = self._rule.apply(chunk.to(device).float(), self.network.side)
                parts.append(self.network(levels))
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def fold_batch_norms(network: nn.Module) -> None:
    """Fold each ``bn`` into the ``conv`` before it, in place; both as in Inception's blocks.

    In float64, so that only the folded weights are rounded.
    """
    network.eval()
    for block in network.modules():
        conv, norm = getattr(block, "conv", None), getattr(block, "bn", None)
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            block.conv = fuse_conv_bn_eval(conv.double(), norm.double()).float()
            block.bn = nn.Identity()
