"""Trains the classifiers that ship as extractors, and writes each one's weights and metadata:
``python tests/tools/train_classifiers.py NAME [--data FOLDER] [--out FOLDER]``.

``mnist``, ``fashion-mnist`` and the two of ``fsdd`` are trained on the training half, which lies in
or below the data folder, and their accuracy is that on the whole test half. Of the 1,797 ``digits``
of scikit-learn all are seen, so that neither half of a benchmark's split is nearer to the features
than the other, and the accuracy is that of a first network, trained in the same way without a fifth
of them. One thread and one seed: the same machine and the same torch give the same weights.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from genbench import registry
from genbench.api import Samples
from genbench.api.seeding import generator, seed_all
from genbench.extractors import digits, mnist, speech
from genbench.store import pack_tensors, write_bytes, write_text

SEED = 0
NAMES = ["digits", "mnist", "fashion-mnist", "fsdd-digits", "fsdd-speakers"]


@dataclass(frozen=True)
class Recipe(ABC):
    """How a classifier is trained: AdamW with a one-cycle learning rate, on jittered samples."""

    epochs: int
    batch: int
    learning_rate: float
    """At its highest."""
    weight_decay: float

    @abstractmethod
    def jitter(self, x: Tensor) -> Tensor:
        """Samples ``(B, *shape)`` in [0, 1], each changed a little."""


@dataclass(frozen=True)
class PictureRecipe(Recipe):
    """Of pictures ``(B, 1, H, W)``: bilinear, and never mirrored. A digit would be another sign,
    and features that do not tell a mirrored shoe from a shoe could not blame a generator for it."""

    rotation: float
    """Pictures are turned by up to so many degrees,"""
    scaling: float
    """scaled by up to this share,"""
    shift: float
    """and shifted by up to this share of their half width."""

    def jitter(self, x: Tensor) -> Tensor:
        angle, scale, *shift = torch.empty(4, len(x)).uniform_(-1, 1)
        angle, scale = math.radians(self.rotation) * angle, 1 + self.scaling * scale
        affine = torch.stack(
            [
                torch.stack(
                    [scale * angle.cos(), -scale * angle.sin(), self.shift * shift[0]], dim=1
                ),
                torch.stack(
                    [scale * angle.sin(), scale * angle.cos(), self.shift * shift[1]], dim=1
                ),
            ],
            dim=1,
        )
        grid = F.affine_grid(affine, list(x.shape), align_corners=False)
        return F.grid_sample(x, grid, align_corners=False)


@dataclass(frozen=True)
class SoundRecipe(Recipe):
    """Of sounds ``(B, 1, T)``, 1/2 being silence."""

    stretch: float
    """Sounds are played slower or faster by up to this share,"""
    delay: float
    """begin later by up to this share of their length,"""
    gain: float
    """and are louder or softer by up to so many decibels."""

    def jitter(self, x: Tensor) -> Tensor:
        stretch, delay, gain = torch.rand(3, len(x), 1)
        place = torch.linspace(0, 1, x.shape[2]) - self.delay * delay
        place = place * (1 + self.stretch * (2 * stretch - 1))
        # Zeros lie around, which here are silence.
        grid = torch.stack([2 * place - 1, torch.zeros_like(place)], dim=-1)[:, None]
        sound = F.grid_sample(2 * x[:, :, None] - 1, grid, align_corners=True)[:, :, 0]
        louder = 10 ** (self.gain * (2 * gain - 1) / 20)
        return (sound * louder[:, :, None]).clamp(-1, 1) / 2 + 0.5


@dataclass(frozen=True)
class Labelled:
    """Samples ``(N, *shape)`` in [0, 1] and their labels ``(N,)``."""

    data: Tensor
    labels: Tensor

    def at(self, rows: Tensor) -> Labelled:
        return Labelled(self.data[rows], self.labels[rows])


def train(
    build: Callable[[], nn.Module], data: Labelled, recipe: Recipe, purpose: str
) -> nn.Module:
    """A network by ``recipe``, in evaluation mode; ``purpose`` names its stream of randomness."""
    seed_all(SEED, purpose)
    network = build()
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    count = len(data.data)
    steps = recipe.epochs * math.ceil(count / recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=steps
    )
    for _ in range(recipe.epochs):
        for rows in torch.split(torch.randperm(count), recipe.batch):
            batch = data.at(rows)
            _, logits = network(recipe.jitter(batch.data))
            loss = F.cross_entropy(logits, batch.labels)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    return network.eval()


@torch.no_grad()
def accuracy(network: nn.Module, data: Labelled) -> float:
    """Share of the samples whose largest logit is their label's."""
    logits = torch.cat([network(x)[1] for x in torch.split(data.data, 1000)])
    return float((logits.argmax(dim=1) == data.labels).double().mean())


DIGITS = PictureRecipe(
    epochs=15,
    batch=64,
    learning_rate=2e-3,
    weight_decay=1e-2,
    rotation=8,
    scaling=0.08,
    shift=0.06,  # a quarter of a pixel
)
MNIST = PictureRecipe(
    epochs=6,
    batch=128,
    learning_rate=1e-2,
    weight_decay=5e-2,
    rotation=10,
    scaling=0.1,
    shift=0.1,  # 1.4 pixels
)
FASHION = PictureRecipe(
    epochs=12,
    batch=128,
    learning_rate=1e-2,
    weight_decay=5e-2,
    rotation=3,
    scaling=0.05,
    shift=0.05,
)
SPEECH = SoundRecipe(
    epochs=20,
    batch=32,
    learning_rate=4e-3,
    weight_decay=5e-2,
    stretch=0.1,
    delay=0.15,
    gain=6,
)


def train_digits(recipe: Recipe) -> tuple[nn.Module, dict[str, Any]]:
    """The network, and what its metadata says of the data and of the accuracy."""
    bunch = load_digits()
    images = torch.from_numpy(bunch.images).float()[:, None] / 16
    data = Labelled(images, torch.from_numpy(bunch.target).long())
    order = torch.randperm(len(images), generator=generator(SEED, "train_digits_split"))
    held_out, rest = order[: len(order) // 5], order[len(order) // 5 :]
    first = train(digits.DigitsNetwork, data.at(rest), recipe, "train_digits")
    metadata = {
        "data": f"all {len(images)} digits of sklearn.datasets.load_digits, in 17 levels over 16",
        "held_out_accuracy": round(accuracy(first, data.at(held_out)), 4),
        "held_out_count": len(held_out),
        "scikit-learn": version("scikit-learn"),
    }
    return train(digits.DigitsNetwork, data, recipe, "train_digits"), metadata


def train_split(
    dataset: str, condition: str, build: Callable[[], nn.Module], recipe: Recipe, folder: Path
) -> tuple[nn.Module, dict[str, Any]]:
    """The same, of the training half of a data set below ``folder``, and one of its conditions."""
    halves: dict[str, Samples] = {
        split: registry.datasets.make(dataset, split, folder) for split in ("train", "test")
    }
    purpose = f"train_{dataset}" if condition == "label" else f"train_{dataset}_{condition}"
    network = train(build, _labelled(halves["train"], condition), recipe, purpose)
    metadata = {
        "data": halves["train"].id,
        "test_data": halves["test"].id,
        "test_accuracy": accuracy(network, _labelled(halves["test"], condition)),
        "test_count": len(halves["test"]),
    }
    return network, metadata


def _channels_last() -> nn.Module:
    """In the memory layout in which a CPU trains it sooner."""
    network = mnist.MnistNetwork()
    lay_out: Callable[..., nn.Module] = network.to
    return lay_out(memory_format=torch.channels_last)


def _labelled(samples: Samples, condition: str) -> Labelled:
    batch = samples.take(torch.arange(len(samples)))
    assert samples.spec.levels is not None
    return Labelled(batch.data.float() / (samples.spec.levels - 1), batch.condition[condition])


def main(name: str, data: Path, out: Path) -> None:
    """Write ``name.safetensors`` and its metadata ``name.json`` into ``out``."""
    torch.set_num_threads(1)
    recipe: Recipe = {"digits": DIGITS, "mnist": MNIST, "fashion-mnist": FASHION}.get(name, SPEECH)
    if name == "digits":
        network, found = train_digits(recipe)
    elif name == "fsdd-digits":
        build = partial(speech.SpeechNetwork, 10)
        network, found = train_split("fsdd", "label", build, recipe, data)
    elif name == "fsdd-speakers":
        build = partial(speech.SpeechNetwork, 6)
        network, found = train_split("fsdd", "speaker", build, recipe, data)
    else:
        network, found = train_split(name, "label", _channels_last, recipe, data)
    packed = pack_tensors(network.state_dict())
    metadata = {
        "sha256": hashlib.sha256(packed).hexdigest(),
        "made_by": f"python tests/tools/train_classifiers.py {name}",
        **found,
        "parameters": sum(p.numel() for p in network.parameters()),
        "seed": SEED,
        **asdict(recipe),
        "torch": torch.__version__,
    }
    write_bytes(out / f"{name}.safetensors", packed)
    write_text(out / f"{name}.json", json.dumps(metadata, indent=1) + "\n")
    print(f"{out / name}.safetensors: {len(packed)} bytes, {found}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Trains a classifier that ships as an extractor.")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--data", type=Path, default=Path("data"), help="Where the data sets lie.")
    parser.add_argument("--out", type=Path, default=Path(digits.__file__).parent)
    given = parser.parse_args()
    main(given.name, given.data, given.out)
