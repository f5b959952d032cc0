"""Interrupted at every single step of a 30-step training: the same bits."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from lightning_fabric import Fabric
from same import assert_same_training

from genbench import registry, store
from genbench.data import open_samples
from genbench.experiment.repair import repair
from genbench.training import checkpoint, loop

STEPS = 30
OPTIONS: dict[str, dict[str, Any]] = {
    "ddpm": {"channels": 2, "timesteps": 30, "dropout": 0.1},
    "score-sde": {"channels": 2},
    "gan": {"channels": 2, "r1_interval": 4},
}


class Stop(BaseException):
    """As an interrupt from the keyboard, it is nobody's to catch."""


def train(model: str, folder: Path, after_step: Callable[[int], None]) -> None:
    """Train with a checkpoint after every step, and ``after_step`` after that."""
    samples = open_samples("points-ring", folder)
    build = partial(registry.call, registry.models.get(model), samples.spec, **OPTIONS[model])
    plan = loop.TrainingConfig(steps=STEPS, batch=8, ema_halflife=50, snapshots=4, seed=3)
    save = loop._TrainingLoop._maybe_save

    def save_and_tell(self: loop._TrainingLoop) -> None:
        save(self)
        after_step(self.step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
        patch.setattr(loop, "CHECKPOINT_SHARE", math.inf)
        patch.setattr(loop, "COUNTED_STEPS", 4)
        patch.setattr(checkpoint, "clear_state", lambda folder: None)  # to be compared
        patch.setattr(loop._TrainingLoop, "_maybe_save", save_and_tell)
        fabric = Fabric(accelerator="cpu", devices=1)
        loop.train(fabric, build, samples, plan, folder, lambda event: None)


@pytest.fixture(scope="module", params=OPTIONS)
def undisturbed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """The model, and where its folder lies as it was after each step and as it is at the end."""
    folder = tmp_path_factory.mktemp("undisturbed")

    def keep(step: int) -> None:
        shutil.copytree(folder / "end", folder / str(step))

    train(request.param, folder / "end", keep)
    return request.param, folder


@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_going_on_after_each_step(step: int, undisturbed: tuple[str, Path]) -> None:
    model, folder = undisturbed
    taken: list[int] = []
    train(model, folder / str(step), taken.append)
    assert taken == list(range(step + 1, STEPS + 1))
    assert_same_training(folder / str(step), folder / "end")


def test_interrupted_after_every_step(undisturbed: tuple[str, Path], tmp_path: Path) -> None:
    def stop(step: int) -> None:
        raise Stop

    model, folder = undisturbed
    for _ in range(STEPS):
        with pytest.raises(Stop):
            train(model, tmp_path, stop)
    train(model, tmp_path, lambda step: None)
    assert_same_training(tmp_path, folder / "end")


@pytest.mark.parametrize("both", [False, True], ids=["the newest", "both"])
def test_a_damaged_state_is_named_and_the_other_used(
    both: bool, undisturbed: tuple[str, Path], tmp_path: Path
) -> None:
    model, folder = undisturbed
    shutil.copytree(folder / "end", tmp_path / "run")
    for name in (checkpoint.RESULT, checkpoint.HISTORY, f"{checkpoint.HISTORY}.json"):
        (tmp_path / "run" / name).unlink()
    states = sorted((tmp_path / "run").glob("checkpoint-*.pt"), key=_step, reverse=True)
    assert [_step(path) for path in states] == [STEPS, STEPS - 1]
    damaged = states if both else states[:1]
    for path in damaged:
        path.write_bytes(path.read_bytes()[:-1])
    said: list[str] = []
    repair(tmp_path / "run", None, lambda event: said.append(str(event.note)))
    assert len(said) == len(damaged)
    assert all(f"{path} is damaged" in " ".join(said) for path in damaged)
    taken: list[int] = []
    train(model, tmp_path / "run", taken.append)
    assert taken == list(range(1 if both else STEPS, STEPS + 1))
    assert_same_training(tmp_path / "run", folder / "end")


def _step(path: Path) -> int:
    return int((store.read_metadata(store.metadata_path(path)) or {})["step"])
