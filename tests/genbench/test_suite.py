"""Suite files: validated entries, shared trainings, identities, and mistakes in one line."""

from __future__ import annotations

import copy
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from genbench import suite
from genbench.errors import GenbenchError, UsageError

TEXT = """
title = "A suite"
dataset = "digits"
seeds = [0, 1]
images = 1000
samples = 64

[score]
extractor = "digits"
reference = "digits:test"
metrics = ["frechet_distance"]

[train]
batch = 64

[entries.A]
model = "ddpm"
options = { timesteps = 50 }

[entries.B]
model = "ddim"
options = { timesteps = 50 }
sample = { steps = 5 }

[entries.C]
model = "ddpm"
options = { timesteps = 50 }
train = { batch = 32 }
"""


@pytest.fixture
def content() -> dict[str, Any]:
    return tomllib.loads(TEXT)


def test_entries_that_train_alike_train_once(content: dict[str, Any]) -> None:
    groups = suite.trainings(suite.parse("it", content))
    assert [[e.name for e in g] for g in groups] == [["A", "B"], ["A", "B"], ["C"], ["C"]]
    assert [g[0].training.seed for g in groups] == [0, 1, 0, 1]
    variant = groups[0][1]
    assert (variant.model, variant.training.model) == ("ddim", "ddpm")
    assert variant.sample == {"sampler": "ddim", "steps": 5}
    assert groups[2][0].training.batch == 32


def test_the_budget_is_rounded_up_to_whole_batches(content: dict[str, Any]) -> None:
    training = suite.trainings(suite.parse("it", content))[0][0].training
    assert training.steps == 16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sedes": [0]}, "unknown key 'sedes'; did you mean 'seeds'?"),
        ({"seeds": []}, "seeds: value error, should be one or more different numbers"),
        ({"seeds": [3, 3]}, "seeds: value error, should be one or more different numbers"),
        ({"seeds": [-1]}, "seeds.0: input should be greater than or equal to 0, got -1"),
        ({"images": "many"}, "images: input should be a valid integer, got 'many'"),
        ({"images": 0}, "images: input should be greater than or equal to 1, got 0"),
        ({"images": None}, "images: input should be a valid integer"),
        ({"title": ...}, "the key 'title' is missing"),
        ({"entries": {}}, "entries: dictionary should have at least 1 item"),
        (
            {"entries": {"A": {"mdel": "ddpm"}}},
            "unknown key 'entries.A.mdel'; did you mean 'model'",
        ),
        ({"score": {"extracter": "x"}}, "unknown key 'score.extracter'; did you mean 'extractor'?"),
        ({"train": {"precision": "16-mixed"}}, "train.precision: input should be '32-true'"),
        ({"train": {"ema_halflife": 0}}, "train.ema_halflife: input should be greater than 0"),
    ],
)
def test_mistakes_in_one_line(
    content: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    for key, value in change.items():
        if value is ...:
            del content[key]
        elif key == "score":
            content[key] |= value
        else:
            content[key] = value
    with pytest.raises(UsageError) as error:
        suite.parse("my.toml", content)
    if "unknown key" in message and "missing" in str(error.value):
        pytest.fail(f"told of something missing first: {error.value}")
    assert str(error.value).startswith("my.toml: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"model": "dpm"}, "unknown model 'dpm'; did you mean 'ddpm'?"),
        (
            {"model": "ddpm", "options": {"timestep": 3}},
            "model 'ddpm' has no option 'timestep'; did you mean 'timesteps'?",
        ),
        ({"model": "ddpm", "options": {"timesteps": "3"}}, "option 'timesteps'"),
    ],
)
def test_wrong_models_and_options(
    content: dict[str, Any], section: dict[str, Any], message: str
) -> None:
    content["entries"] = {"A": section}
    with pytest.raises(UsageError) as error:
        suite.trainings(suite.parse("it", content))
    assert message in str(error.value)


def test_the_floor_keeps_its_name(content: dict[str, Any]) -> None:
    content["entries"] = {"real": {"model": "ddpm"}}
    with pytest.raises(UsageError, match="cannot be named 'real'"):
        suite.trainings(suite.parse("it", content))


def test_overrides(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TEXT, encoding="utf-8")
    loaded = suite.load(
        str(path),
        ["images=64", "entries.A.options.timesteps=7", "dataset=mnist", "train.augment=flip"],
    )
    assert (loaded.images, loaded.dataset, loaded.train.augment) == (64, "mnist", "flip")
    assert loaded.entries["A"].options == {"timesteps": 7}


@pytest.mark.parametrize("override", ["images", "=3", "images.deep=3"])
def test_overrides_that_make_no_sense(tmp_path: Path, override: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TEXT, encoding="utf-8")
    with pytest.raises(UsageError, match="--set"):
        suite.load(str(path), [override])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("quickstrat", "unknown suite 'quickstrat'; did you mean 'quickstart'?"),
        ("nowhere.toml", "cannot read the suite nowhere.toml"),
    ],
)
def test_suites_that_are_not_there(name: str, message: str) -> None:
    with pytest.raises(GenbenchError) as error:
        suite.load(name)
    assert message in str(error.value)


@pytest.mark.parametrize("text", ["title = ", "when = 2020-01-01"])
def test_files_that_are_not_suites(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"bad\.toml"):
        suite.load(str(path))


def test_every_built_in_suite_is_valid() -> None:
    names = suite.names()
    assert "quickstart" in names
    for name, title in names.items():
        loaded = suite.load(name)
        assert loaded.title == title
        assert suite.trainings(loaded)


def test_a_training_identity_sees_every_field(content: dict[str, Any]) -> None:
    training = suite.trainings(suite.parse("it", content))[0][0].training
    rest: dict[str, Any] = {"dataset": "d@1", "code": "c", "host": {"torch": "2"}}
    changes: dict[str, Any] = {
        "model": "gan",
        "options": dict(training.options) | {"timesteps": 51},
        "dataset": "mnist",
        "images": 1001,
        "batch": 63,
        "ema_halflife": 1.0,
        "augment": "flip",
        "precision": "bf16-mixed",
        "threads": 2,
        "snapshots": 5,
        "seed": 9,
    }
    assert changes.keys() == vars(training).keys()
    identities = {suite.training_identity(training, **rest)}
    identities |= {
        suite.training_identity(replace(training, **{name: value}), **rest)
        for name, value in changes.items()
    }
    for name, value in {"dataset": "d@2", "code": "e", "host": {"torch": "3"}}.items():
        identities.add(suite.training_identity(training, **(rest | {name: value})))
    assert len(identities) == 1 + len(changes) + 3


def test_sampling_and_scoring_identities_see_every_field() -> None:
    sampling: dict[str, Any] = {
        "training": "t",
        "code": "c",
        "host": {"device": "cpu"},
        "images": 1,
        "weights": "ema",
        "options": {"steps": 1},
        "seed": 0,
        "count": 5,
        "version": 1,
    }
    other: dict[str, Any] = {
        "training": "u",
        "code": "d",
        "host": {"device": "cuda"},
        "images": 2,
        "weights": "raw",
        "options": {"steps": 2},
        "seed": 1,
        "count": 6,
        "version": 2,
    }
    identities = {suite.sampling_identity(**sampling)}
    for name in sampling:
        identities.add(suite.sampling_identity(**(copy.copy(sampling) | {name: other[name]})))
    assert len(identities) == 1 + len(sampling)
    scoring: dict[str, Any] = {
        "samples": "s", "protocol": {"a": 1}, "code": {"m": "1"}, "seed": 0, "version": 1,
    }  # fmt: skip
    changed: dict[str, Any] = {
        "samples": "t", "protocol": {"a": 2}, "code": {"m": "2"}, "seed": 1, "version": 2,
    }  # fmt: skip
    identities = {suite.scoring_identity(**scoring)}
    for name in scoring:
        identities.add(suite.scoring_identity(**(scoring | {name: changed[name]})))
    assert len(identities) == 1 + len(scoring)
