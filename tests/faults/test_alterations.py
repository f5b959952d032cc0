"""A finished run is altered in one place: the next does again what that concerns, and no more."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from corridor import SUITE, call, in_this_process

from genbench import registry
from genbench.devices import hardware as hardware_module
from genbench.experiment import stages, trained
from genbench.metrics.frechet import FrechetDistance
from genbench.registry.code import Code

PLUGIN = """
from functools import partial
import torch
from torch import nn
from genbench import Optimization, PlayerStep, registry

class Moved(nn.Module):
    def __init__(self, spec, rate):
        super().__init__()
        self.players = nn.ModuleDict({"mover": nn.Linear(2, 2)})
        self.noise_shape = spec.shape
        self.rate = rate

    def optimization(self, player):
        return Optimization(partial(torch.optim.Adam, lr=self.rate))

    def losses(self, batch, progress):
        moved = self.players["mover"](torch.randn_like(batch.data))
        yield PlayerStep("mover", (moved.mean(0) - batch.data.mean(0)).square().mean())

    def sample(self, noise, condition, *, scale: float = 1.0):
        return self.players["mover"](scale * noise)

def moved(spec, *, rate: float = 0.05):
    return Moved(spec, rate)

registry.models.add("moved", moved)
"""


TRAINED, SAMPLED, SCORED = "trained", "sampled", "scored"
ALTERATIONS = {
    "nothing": set(),
    "an option": {TRAINED, SAMPLED, SCORED},
    "a byte of data": {TRAINED, SAMPLED, SCORED},
    "a byte of the plugin": {TRAINED, SAMPLED, SCORED},
    "the batch": {TRAINED, SAMPLED, SCORED},
    "torch": {TRAINED, SAMPLED, SCORED},
    "the loop": {TRAINED, SAMPLED, SCORED},
    "the sampler": {SAMPLED, SCORED},
    "a sampling option": {SAMPLED, SCORED},
    "the count": {SAMPLED, SCORED},
    "the reference": {SCORED},
    "the metric": {SCORED},
    "the scorer": {SCORED},
    "the seed of the scores": {SCORED},
}


POINTS = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)


def run(desk: Path) -> set[str]:
    """Run the suite of that folder: the stages of which there is more than before."""
    out = desk / "out"
    before = set(out.rglob("*"))
    with in_this_process():
        done = call("run", desk / "moved.toml", "--out", out)
    assert done.exit_code == 0, done.output
    new = [path for path in set(out.rglob("*")) - before if "real" not in path.parts]
    kinds = {"snapshots": TRAINED, "samples": SAMPLED, "scores": SCORED}
    return {kinds[path.parent.name] for path in new if path.parent.name in kinds}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a suite, its data, the plugin that it asks for, and what the run came to. The
    plugin is read once, as any script; what is then changed in the file is not run, but seen."""
    desk = tmp_path_factory.mktemp("finished") / "desk"
    desk.mkdir()
    (desk / "moved.py").write_text(PLUGIN, encoding="utf-8")
    registry.add_plugin_file(desk / "moved.py")
    np.savez(desk / "data.npz", samples=POINTS)
    text = SUITE.replace("points-ring:test", "points-grid:test").replace(
        'dataset = "points-ring"', f'dataset = "npz:{desk / "data.npz"}"'
    )
    text = text.partition('[entries."')[0].replace('"toy"', '"moved"')
    (desk / "moved.toml").write_text(text, encoding="utf-8")
    assert run(desk) == {TRAINED, SAMPLED, SCORED}
    return desk


@pytest.fixture
def desk(finished: Path) -> Iterator[Path]:
    """That folder, in its place, and as it was again afterwards: its paths are in the suite."""
    kept = finished.with_name("kept")
    shutil.copytree(finished, kept)
    yield finished
    shutil.rmtree(finished)
    kept.rename(finished)


@pytest.mark.parametrize("altered", ALTERATIONS)
def test_a_run_does_again_what_an_alteration_concerns(
    altered: str, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml = desk / "moved.toml"
    text = toml.read_text(encoding="utf-8")

    def replaced(old: str, new: str) -> None:
        assert old in text
        toml.write_text(text.replace(old, new), encoding="utf-8")

    def raised(module: ModuleType, stage: str) -> None:
        """As by a later version of genbench."""
        declared = getattr(module, stage)
        newer = dataclasses.replace(declared, version=declared.version + 1)
        monkeypatch.setattr(module, stage, newer)

    match altered:
        case "an option":
            replaced('"moved"', '"moved"\noptions = { rate = 0.06 }')
        case "a byte of data":
            points = POINTS.copy()
            points[0, 0] = np.nextafter(points[0, 0], np.float32(9))
            np.savez(desk / "data.npz", samples=points)
        case "a byte of the plugin":
            # As another process reads it: what this one has loaded keeps its identity.
            monkeypatch.setattr(registry.models, "code", lambda name: Code("edited", {}))
        case "the batch":
            replaced("batch = 32", "batch = 16")
        case "torch":
            monkeypatch.setattr(hardware_module, "version", lambda name: "0.0")
        case "the loop":
            raised(trained, "TRAINING")
        case "the sampler":
            raised(stages, "SAMPLES")
        case "a sampling option":
            replaced('"moved"', '"moved"\nsample = { scale = 0.5 }')
        case "the count":
            replaced("samples = 64\n", "samples = 65\n")
        case "the reference":
            replaced("points-grid:test", "points-spiral:test")
        case "the metric":
            version = getattr(FrechetDistance, "version", 1)
            monkeypatch.setattr(FrechetDistance, "version", version + 1, raising=False)
        case "the scorer":
            raised(stages, "SCORES")
        case "the seed of the scores":
            replaced("[train]", "seed = 1\n[train]")
    # Where nothing but a constant of genbench's own changed, its source did.
    monkeypatch.setattr(registry, "own_code", lambda: Code(altered, {}))
    assert run(desk) == ALTERATIONS[altered]
