"""What becomes of a batch before a model sees it: augmentations, dequantisation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from scipy import stats
from torch import Tensor, nn

from genbench import registry
from genbench.api import (
    Augmentation,
    Batch,
    Condition,
    Optimization,
    PlayerStep,
    Progress,
    SampleSpec,
    TensorSamples,
)
from genbench.api.errors import GenbenchError
from genbench.devices.hardware import Hardware
from genbench.experiment.trained import training_identity
from genbench.registry import Code
from genbench.suite import Train, Training
from genbench.training import loop
from genbench.training.batches import preparation

LEVELS = SampleSpec("image", (1, 8, 8), levels=17)


def shifted(spec: SampleSpec) -> Augmentation:
    """Moves every number up by 8, out of the model's view: an augmentation to be seen."""
    return lambda batch: Batch(batch.data + 8, batch.condition)


def broken(spec: SampleSpec) -> Augmentation:
    raise ZeroDivisionError("a bug")


@pytest.fixture(autouse=True, scope="module")
def plugins(names_of_its_own: None) -> None:
    registry.augmentations.add("shifted", shifted)
    registry.augmentations.add("broken", broken)


class Watching(nn.Module):
    """Keeps the batches that it was trained on."""

    players: nn.ModuleDict

    def __init__(self) -> None:
        super().__init__()
        self.players = nn.ModuleDict({"only": nn.Linear(8, 8)})
        self.noise_shape = LEVELS.shape
        self.seen: list[Tensor] = []

    def optimization(self, player: str) -> Optimization:
        return Optimization(torch.optim.Adam)

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        self.seen.append(batch.data)
        yield PlayerStep("only", self.players["only"](batch.data).square().mean())

    def sample(self, noise: Tensor, condition: Condition) -> Tensor:
        return noise


def seen_in_training(folder: Path, train: Train) -> Tensor:
    """The batch of a step."""
    models: list[Watching] = []

    def build() -> Watching:
        models.append(Watching())
        return models[-1]

    stored = torch.randint(
        17, (20, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    samples = TensorSamples(LEVELS, "levels", stored)
    plan = loop.TrainingConfig(steps=1, snapshots=1, seed=5, **train.train_options())
    loop.train(Fabric(accelerator="cpu"), build, samples, plan, folder, lambda event: None)
    return models[0].seen[0]


def test_a_model_sees_what_was_prepared(tmp_path: Path) -> None:
    plain = seen_in_training(tmp_path / "plain", Train(batch=8))
    assert set((plain * 8).unique().tolist()) <= set(range(-8, 9))
    moved = seen_in_training(tmp_path / "moved", Train(batch=8, augment=("shifted", "shifted")))
    torch.testing.assert_close(moved, plain + 16)
    spread = seen_in_training(
        tmp_path / "spread", Train(batch=8, augment=("shifted",), dequantize=True)
    )
    assert ((spread - plain - 8).abs() <= 0.5 / 8 + 1e-6).all()
    assert len(spread.unique()) > 0.9 * spread.numel()


def test_dequantised_levels_fill_their_cells_and_no_more() -> None:
    stored = torch.randint(17, (400, 1, 8, 8), dtype=torch.uint8)
    spread = preparation(Train(dequantize=True), LEVELS)(Batch(LEVELS.encode(stored))).data
    # In units of a level: k + U - 1/2.
    offset = (spread + 1) * 8 - stored.float()
    assert offset.abs().max() <= 0.5 + 1e-5
    assert stats.kstest(offset.flatten().double(), stats.uniform(-0.5, 1).cdf).pvalue > 1e-3


def test_flip_mirrors_about_half() -> None:
    torch.manual_seed(0)
    ramp = torch.arange(4.0).expand(1000, 1, 1, 4)
    spec = SampleSpec("image", (1, 1, 4), levels=None)
    flipped = preparation(Train(augment=("horizontal_flip",)), spec)(Batch(ramp)).data
    mirrored = (flipped == ramp.flip(-1)).all(-1).flatten()
    assert 400 < int(mirrored.sum()) < 600
    assert torch.equal(flipped[~mirrored], ramp[~mirrored])


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (Train(augment=("horizontal_flip",)), "horizontal_flip is for images and videos, not for"),
        (Train(augment=("shfted",)), "unknown augmentation 'shfted'; did you mean 'shifted'?"),
        (Train(augment=("broken",)), "augmentation 'broken' of .* failed: ZeroDivisionError"),
        (Train(dequantize=True), "dequantize is for whole levels; these samples are real-valued"),
    ],
)
def test_what_cannot_be_prepared_is_told(train: Train, message: str) -> None:
    with pytest.raises(GenbenchError, match=message):
        preparation(train, SampleSpec("points", (2,), levels=None))


def test_a_training_is_named_by_the_code_of_its_augmentations(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    training = Training(
        model="ddpm",
        options={},
        dataset="digits",
        examples=64,
        snapshots=1,
        seed=0,
        augment=("horizontal_flip", "shifted"),
    )
    hardware = Hardware(tmp_path, "cpu")
    before = training_identity(hardware, training)
    monkeypatch.setattr(registry.augmentations, "code", lambda name: Code(f"other {name}", {}))
    assert training_identity(hardware, training) != before
