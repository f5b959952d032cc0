"""What Fabric says when it is built: its warning about ``srun``, only inside a job of SLURM, and
nothing else."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import pytest

from genbench.devices.hardware import Hardware


@pytest.fixture
def login_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ``srun`` is installed and no job runs."""
    (tmp_path / "srun").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for name in ("SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_JOB_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("login_node")
def test_outside_a_job_nothing_is_said_of_srun(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Hardware(tmp_path, "cpu").fabric("32-true")


@pytest.mark.usefixtures("login_node")
def test_in_a_job_without_srun_the_warning_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with pytest.warns(UserWarning, match="srun"):
        Hardware(tmp_path, "cpu").fabric("32-true")


def test_nothing_is_said_of_the_precision(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("lightning_fabric"), "propagate", True)
    caplog.set_level(logging.INFO, "lightning_fabric")  # as Fabric sets it
    Hardware(tmp_path, "cpu").fabric("bf16-mixed")
    assert caplog.text == ""
