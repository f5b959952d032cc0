"""Trains the digits extractor: ``python -m genbench.extractors.train_digits [FOLDER]``.

All 1,797 digits of scikit-learn are seen, so that neither half of a benchmark's split is nearer to
the features than the other. The accuracy is that of a first network, trained in the same way
without a fifth of the digits. One thread and one seed: the same machine and the same torch give the
same weights.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from pathlib import Path

import sklearn
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional as F

from genbench.extractors.digits import CARD, LEVELS, WEIGHTS, DigitsNetwork
from genbench.seeding import generator, seed_all
from genbench.storage import pack_tensors, write_bytes, write_text

SEED = 0
EPOCHS = 15
BATCH = 64
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-2
ROTATION = math.radians(8)
SCALING = 0.08
SHIFT = 0.06  # of the picture's half width: a quarter of a pixel


def train(images: Tensor, labels: Tensor) -> DigitsNetwork:
    """AdamW with a one-cycle learning rate on ``(N, 1, 8, 8)`` in [0, 1] and ``(N,)`` labels."""
    seed_all(SEED, "train_digits")
    network = DigitsNetwork()
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps = EPOCHS * math.ceil(len(images) / BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    for _ in range(EPOCHS):
        for batch in torch.split(torch.randperm(len(images)), BATCH):
            _, logits = network(jitter(images[batch]))
            loss = F.cross_entropy(logits, labels[batch])
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    return network


def jitter(images: Tensor) -> Tensor:
    """Each picture turned, scaled and shifted a little, bilinearly."""
    angle, scale, *shift = torch.empty(4, len(images)).uniform_(-1, 1)
    angle, scale = ROTATION * angle, 1 + SCALING * scale
    affine = torch.stack(
        [
            torch.stack([scale * angle.cos(), -scale * angle.sin(), SHIFT * shift[0]], dim=1),
            torch.stack([scale * angle.sin(), scale * angle.cos(), SHIFT * shift[1]], dim=1),
        ],
        dim=1,
    )
    grid = F.affine_grid(affine, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


@torch.no_grad()
def accuracy(network: DigitsNetwork, images: Tensor, labels: Tensor) -> float:
    """Share of ``images`` whose largest logit is their label's."""
    _, logits = network(images)
    return float((logits.argmax(dim=1) == labels).double().mean())


def main(folder: Path) -> None:
    """Write the weights and their card into ``folder``."""
    torch.set_num_threads(1)
    bunch = load_digits()
    images = torch.from_numpy(bunch.images).float()[:, None] / (LEVELS - 1)
    labels = torch.from_numpy(bunch.target).long()

    order = torch.randperm(len(images), generator=generator(SEED, "train_digits_split"))
    held_out, rest = order[: len(order) // 5], order[len(order) // 5 :]
    first = train(images[rest], labels[rest])
    held_out_accuracy = accuracy(first, images[held_out], labels[held_out])

    data = pack_tensors(train(images, labels).state_dict())
    card = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "made_by": "python -m genbench.extractors.train_digits",
        "data": f"all {len(images)} digits of sklearn.datasets.load_digits, in 17 levels over 16",
        "held_out_accuracy": round(held_out_accuracy, 4),
        "held_out_count": len(held_out),
        "parameters": sum(p.numel() for p in first.parameters()),
        "seed": SEED,
        "epochs": EPOCHS,
        "batch": BATCH,
        "learning_rate": LEARNING_RATE,
        "weight_decay": WEIGHT_DECAY,
        "torch": torch.__version__,
        "scikit-learn": sklearn.__version__,
    }
    write_bytes(folder / WEIGHTS, data)
    write_text(folder / CARD, json.dumps(card, indent=1) + "\n")
    print(f"{folder / WEIGHTS}: {len(data)} bytes, held-out accuracy {held_out_accuracy:.4f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
