"""What a plugin may change in a process that goes on."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
import torchmetrics

import genbench
from genbench import registry


def settings() -> list[object]:
    return [
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_grad_enabled(),
        torch.get_num_threads(),
        torch.get_float32_matmul_precision(),
        torch.nn.Identity()(torch.ones(2)).tolist(),
        os.getcwd(),
        os.environ.get("LEFT"),
        warnings.filters[0],
    ]


def leave_behind() -> None:
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.set_grad_enabled(False)
    torch.set_num_threads(7)
    torch.set_float32_matmul_precision("medium")
    torch.nn.modules.module.register_module_forward_hook(lambda module, inputs, output: 7 * output)
    os.chdir("/")
    os.environ["LEFT"] = "behind"
    warnings.simplefilter("error")


def test_all_is_put_back() -> None:
    before = settings()
    with registry.kept_surroundings():
        leave_behind()
    assert settings() == before


FIRST_IMPORT = """
from genbench import registry
try:
    with registry.kept_torch():
        import torch
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        raise ArithmeticError
except ArithmeticError:
    print(torch.get_default_dtype(), torch.get_default_device())
"""


def test_all_is_put_back_of_a_plugin_that_imports_torch_and_fails() -> None:
    command = [sys.executable, "-c", FIRST_IMPORT]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "torch.float32 cpu\n"


def test_a_plugin_file_moves_neither_the_next_one_nor_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("first.py", "second.py"):
        Path(name).write_text("import os; os.chdir('/')", encoding="utf-8")
    genbench.evaluate(
        "points-ring",
        "points-ring:test",
        extractor="identity",
        metrics=["sliced_wasserstein"],
        plugins=["first.py", "second.py"],
    )
    assert Path.cwd() == tmp_path


class Reckless(torchmetrics.Metric):
    needs = frozenset({"features"})
    sides = frozenset({"generated"})
    outputs = {"reckless": genbench.Output(True, "reckless", "other scores")}  # noqa: RUF012
    full_state_update = False

    def update(self, features: object, side: str) -> None:
        leave_behind()

    def compute(self) -> None:
        leave_behind()
        raise SystemExit


@pytest.fixture
def reckless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.metrics, "added", dict(registry.metrics.added))
    registry.metrics.add("reckless", Reckless)


def test_a_metric_changes_neither_its_neighbour_nor_the_caller(
    reckless: None, tmp_path: Path
) -> None:
    before = settings()
    scores = {}
    for metrics in (["frechet_distance"], ["reckless", "frechet_distance"]):
        scores[len(metrics)] = genbench.evaluate(
            "points-ring", "points-ring:test", extractor="identity", metrics=metrics
        )
    assert settings() == before
    assert scores[2].values == scores[1].values
    assert scores[2].skipped["reckless"].startswith("reckless failed: SystemExit")
