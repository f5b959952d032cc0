"""Trains the classifiers that ship as extractors, and writes each one's weights and metadata:
``python tests/tools/train_classifiers.py NAME [--data FOLDER] [--out FOLDER]``.

``mnist`` and ``fashion-mnist`` are trained on the training half, which lies in or below the data
folder, and their accuracy is that on the whole test half. Of the 1,797 ``digits`` of scikit-learn
all are seen, so that neither half of a benchmark's split is nearer to the features than the other,
and the accuracy is that of a first network, trained in the same way without a fifth of them. One
thread and one seed: the same machine and the same torch give the same weights.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
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
from genbench.extractors import digits, mnist
from genbench.store import pack_tensors, write_bytes, write_text

SEED = 0


@dataclass(frozen=True)
class Recipe:
    """How a classifier is trained: AdamW with a one-cycle learning rate, on jittered pictures."""

    epochs: int
    batch: int
    learning_rate: float
    """At its highest."""
    weight_decay: float
    rotation: float
    """Pictures are turned by up to so many degrees,"""
    scaling: float
    """scaled by up to this share,"""
    shift: float
    """and shifted by up to this share of their half width."""


@dataclass(frozen=True)
class Labelled:
    """Pictures ``(N, 1, H, W)`` in [0, 1] and their labels ``(N,)``."""

    images: Tensor
    labels: Tensor

    def at(self, rows: Tensor) -> Labelled:
        return Labelled(self.images[rows], self.labels[rows])


def train(
    build: Callable[[], nn.Module], data: Labelled, recipe: Recipe, purpose: str
) -> nn.Module:
    """A network by ``recipe``, in evaluation mode; ``purpose`` names its stream of randomness."""
    seed_all(SEED, purpose)
    network = build()
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    count = len(data.images)
    steps = recipe.epochs * math.ceil(count / recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=steps
    )
    for _ in range(recipe.epochs):
        for rows in torch.split(torch.randperm(count), recipe.batch):
            batch = data.at(rows)
            _, logits = network(jitter(batch.images, recipe))
            loss = F.cross_entropy(logits, batch.labels)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    return network.eval()


def jitter(images: Tensor, recipe: Recipe) -> Tensor:
    """Each picture turned, scaled and shifted a little, bilinearly.

    Never mirrored: a digit would be another sign, and features that do not tell a mirrored shoe
    from a shoe could not blame a generator for it.
    """
    angle, scale, *shift = torch.empty(4, len(images)).uniform_(-1, 1)
    angle, scale = math.radians(recipe.rotation) * angle, 1 + recipe.scaling * scale
    affine = torch.stack(
        [
            torch.stack(
                [scale * angle.cos(), -scale * angle.sin(), recipe.shift * shift[0]], dim=1
            ),
            torch.stack([scale * angle.sin(), scale * angle.cos(), recipe.shift * shift[1]], dim=1),
        ],
        dim=1,
    )
    grid = F.affine_grid(affine, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


@torch.no_grad()
def accuracy(network: nn.Module, data: Labelled) -> float:
    """Share of the pictures whose largest logit is their label's."""
    logits = torch.cat([network(images)[1] for images in torch.split(data.images, 1000)])
    return float((logits.argmax(dim=1) == data.labels).double().mean())


DIGITS = Recipe(
    epochs=15,
    batch=64,
    learning_rate=2e-3,
    weight_decay=1e-2,
    rotation=8,
    scaling=0.08,
    shift=0.06,  # a quarter of a pixel
)
MNIST = Recipe(
    epochs=6,
    batch=128,
    learning_rate=1e-2,
    weight_decay=5e-2,
    rotation=10,
    scaling=0.1,
    shift=0.1,  # 1.4 pixels
)
FASHION = Recipe(
    epochs=12,
    batch=128,
    learning_rate=1e-2,
    weight_decay=5e-2,
    rotation=3,
    scaling=0.05,
    shift=0.05,
)


def train_digits(recipe: Recipe) -> tuple[nn.Module, dict[str, Any]]:
    """The network, and what its metadata says of the data and of the accuracy."""
    bunch = load_digits()
    images = torch.from_numpy(bunch.images).float()[:, None] / (digits.LEVELS - 1)
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


def train_mnist(name: str, recipe: Recipe, folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The same, for the data set ``mnist`` or ``fashion-mnist`` below ``folder``."""
    halves: dict[str, Samples] = {
        split: registry.datasets.make(name, split, folder) for split in ("train", "test")
    }
    network = train(_channels_last, _labelled(halves["train"]), recipe, f"train_{name}")
    metadata = {
        "data": halves["train"].id,
        "test_data": halves["test"].id,
        "test_accuracy": accuracy(network, _labelled(halves["test"])),
        "test_count": len(halves["test"]),
    }
    return network, metadata


def _channels_last() -> nn.Module:
    """In the memory layout in which a CPU trains it sooner."""
    network = mnist.MnistNetwork()
    lay_out: Callable[..., nn.Module] = network.to
    return lay_out(memory_format=torch.channels_last)


def _labelled(samples: Samples) -> Labelled:
    batch = samples.take(torch.arange(len(samples)))
    return Labelled(batch.data.float() / (mnist.LEVELS - 1), batch.condition["label"])


def main(name: str, data: Path, out: Path) -> None:
    """Write ``name.safetensors`` and its metadata ``name.json`` into ``out``."""
    torch.set_num_threads(1)
    recipe = {"digits": DIGITS, "mnist": MNIST, "fashion-mnist": FASHION}[name]
    if name == "digits":
        network, found = train_digits(recipe)
    else:
        network, found = train_mnist(name, recipe, data)
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
    parser.add_argument("name", choices=["digits", "mnist", "fashion-mnist"])
    parser.add_argument("--data", type=Path, default=Path("data"), help="Where the data sets lie.")
    parser.add_argument("--out", type=Path, default=Path(digits.__file__).parent)
    given = parser.parse_args()
    main(given.name, given.data, given.out)
