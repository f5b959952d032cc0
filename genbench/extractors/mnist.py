"""Small classifiers of MNIST and of Fashion-MNIST, whose weights ship with the package."""

from __future__ import annotations

from importlib.resources import files

from torch import Tensor, nn

from genbench.api import SampleSpec
from genbench.extractors.classifier import Classifier, convolution, shipped

SPEC = SampleSpec("image", (1, 28, 28), 256)


class MnistNetwork(nn.Module):
    """Four convolutions, at 28×28, twice at 14×14, and at 7×7, each with a batch norm.

    The features are taken after the last norm, which puts all channels on one scale, so that none
    outweighs the others in a distance; and before the ReLU, which would cut them off at zero.
    """

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            *convolution(1, 16),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            *convolution(16, 32),
            nn.ReLU(inplace=True),
            *convolution(32, 64),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            *convolution(64, 128),
        )
        self.classifier = nn.Sequential(
            nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.3), nn.Linear(128 * 3 * 3, 10)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, 1, 28, 28)`` in [0, 1] → features ``(B, 128)``, logits ``(B, 10)``."""
        maps = self.convolutions(x)
        return maps.mean(dim=(2, 3)), self.classifier(maps)


def mnist() -> Classifier:
    """A classifier of MNIST's digits: pooled last convolution (128-d) and logits."""
    return shipped(files("genbench.extractors"), "mnist", MnistNetwork(), SPEC, Classifier)


def fashion_mnist() -> Classifier:
    """A classifier of Fashion-MNIST: pooled last convolution (128-d) and logits."""
    return shipped(files("genbench.extractors"), "fashion-mnist", MnistNetwork(), SPEC, Classifier)
