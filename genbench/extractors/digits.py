"""A small classifier of 8×8 handwritten digits, whose weights ship with the package."""

from __future__ import annotations

from importlib.resources import files

from torch import Tensor, nn

from genbench.api import SampleSpec
from genbench.extractors.classifier import Classifier, shipped

SPEC = SampleSpec("image", (1, 8, 8), 17)


class DigitsNetwork(nn.Module):
    """Two convolutions at 8×8, one at 4×4, and a classifier that keeps positions.

    The features are taken before the last unit saturates: junk, residual noise and a missing class
    change the Fréchet distance more there than after it.
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


def digits() -> Classifier:
    """A classifier of 8×8 digits: pooled last convolution (64-d) and logits."""
    return shipped(files("genbench.extractors"), "digits", DigitsNetwork(), SPEC, Classifier)
