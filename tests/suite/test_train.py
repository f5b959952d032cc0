"""The options of ``[train]`` are listed once: whatever else lists them has every one."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from genbench import registry, suite
from genbench.analysis.entry_runs import entry_runs
from genbench.analysis.notes import comparison_notes
from genbench.analysis.reproduction import recipe
from genbench.api import Output
from genbench.api.errors import UsageError
from genbench.devices.hardware import Hardware
from genbench.experiment.context import RunContext, open_cached
from genbench.experiment.jobs import lost
from genbench.experiment.stage_table import TRAINING
from genbench.experiment.trained import training_identity
from genbench.store.records import Record
from genbench.suite import OPTIONS, Train, Training
from genbench.training.loop import TrainingConfig

TEXT = """
title = "A suite"
dataset = "digits"
seeds = [0]
examples = 1000
samples = 64
score = { extractor = "identity", reference = "digits:test", metrics = ["frechet_distance"] }
entries.A.model = "ddpm"
"""


def other(name: str) -> Any:
    """A value of that option which is not the default."""
    value = getattr(Train(), name)
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return 2 * value
    return {"precision": "bf16-mixed", "augment": ("horizontal_flip",)}[name]


def training(changes: dict[str, Any], *, of_entry: bool) -> Training:
    content = tomllib.loads(TEXT)
    (content["entries"]["A"] if of_entry else content)["train"] = changes
    return suite.trainings(suite.parse("it", content))[0][0].training


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_is_everywhere(name: str, tmp_path: Path) -> None:
    value = other(name)
    usual = training({}, of_entry=False)
    chosen = training({name: value}, of_entry=False)
    assert getattr(usual, name) != getattr(chosen, name) == value
    assert training({name: value}, of_entry=True) == chosen
    hardware = Hardware(tmp_path, "cpu")
    assert training_identity(hardware, usual) != training_identity(hardware, chosen)
    assert (
        getattr(TrainingConfig(steps=1, snapshots=1, seed=0, **chosen.train_options()), name)
        == value
    )

    (record,) = records(tmp_path, {name: value})
    assert record.conditions[name] == value
    output = Output(False, "Fréchet distance", "fidelity")
    scored = replace(record, outputs={"frechet_distance": output})
    again = suite.parse("recipe", recipe([scored]))
    assert again.train.train_options() == chosen.train_options()
    (note,) = (
        n for n in comparison_notes(record.protocol, entry_runs([record])) if "Condition" in n
    )
    assert OPTIONS[name] in note


def test_an_eager_training_is_named_as_before_there_were_compiled_ones(tmp_path: Path) -> None:
    """Records that were published then keep their identities, and share rows with new ones."""
    usual, hardware = training({}, of_entry=False), Hardware(tmp_path, "cpu")
    assert training({"compile": False}, of_entry=True) == usual
    fields = asdict(usual)
    assert fields.pop("compile") is False
    inputs = {
        "training": fields,
        "data": open_cached("digits", tmp_path).id,
        "code": [registry.models.code("ddpm").identity],
        "hardware": hardware.identity(),
    }
    assert training_identity(hardware, usual) == TRAINING.identity(inputs)
    (record,) = records(tmp_path, {})
    assert "compile" not in record.conditions


def test_an_entry_keeps_its_own_word_on_compiling() -> None:
    content = tomllib.loads(TEXT)
    content["entries"]["B"] = {"model": "ddpm", "train": {"compile": False}}
    groups = suite.trainings(suite.parse("it", content).with_compile(True))
    assert {entry.name: entry.training.compile for (entry,) in groups} == {"A": True, "B": False}


def records(folder: Path, changes: dict[str, Any]) -> list[Record]:
    """Of a run that was lost, from which records are made without any training."""
    content = tomllib.loads(TEXT) | {"train": changes}
    parsed = suite.parse("it", content)
    context = RunContext("it", folder, Hardware(folder, "cpu"), parsed.samples, parsed.score)
    return lost(context, parsed.dataset, suite.trainings(parsed)[0], "its process died")


def test_an_unknown_option_has_a_near_one() -> None:
    for of_entry in (False, True):
        with pytest.raises(UsageError, match=r"unknown key '.*train.batc'; did you mean 'batch'"):
            training({"batc": 8}, of_entry=of_entry)


def test_options_given_in_python_are_checked_too() -> None:
    with pytest.raises(ValidationError, match="batch"):
        Train(batch=0)


def test_a_suite_in_python_checks_its_options_too() -> None:
    content = tomllib.loads(TEXT)
    made = suite.Suite(**content | {"train": {"batch": 32}})
    assert made == suite.Suite(**content | {"train": Train(batch=32)})
    assert suite.trainings(made)[0][0].training.batch == 32
    for wrong, message in (({"batch": 0}, "train: batch: input"), ({"batc": 1}, "did you mean")):
        with pytest.raises(UsageError, match=message):
            suite.Suite(**content | {"train": wrong})


def test_an_unknown_augmentation_has_a_near_one() -> None:
    with pytest.raises(UsageError, match="'horizontal_flp'; did you mean 'horizontal_flip'"):
        training({"augment": ["horizontal_flp"]}, of_entry=True)
