"""Suite files: validated entries, shared trainings, identities, and mistakes in one line."""

from __future__ import annotations

import json
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbench import registry, suite
from genbench.api import Variant
from genbench.api.errors import GenbenchError, UsageError
from genbench.registry import PluginError
from genbench.registry.texts import titles
from genbench.store.protocol import USUAL, Criteria, criteria

TEXT = """
title = "A suite"
dataset = "digits"
seeds = [0, 1]
examples = 1000
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


TEXTS = st.text().filter(lambda text: "\0" not in text)
WHOLE = st.integers(-(2**63), 2**63 - 1)
VALUES = st.recursive(
    st.none() | st.booleans() | WHOLE | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(options=st.dictionaries(TEXTS, VALUES, max_size=3))
def test_a_suite_that_was_written_is_read_again(options: dict[str, Any]) -> None:
    """Whatever its options are, also those without a value, which TOML has no word for."""
    content = tomllib.loads(TEXT)
    content["score"]["extractor_options"] = options
    content["entries"]["A"] |= {"options": options, "sample": options, "snapshot_sample": options}
    written = suite.Suite(**content)
    assert suite.parse("it", tomllib.loads(written.to_toml())) == written
    # As a job travels to another process.
    assert suite.parse("it", json.loads(json.dumps(written.model_dump(mode="json")))) == written


@pytest.mark.parametrize(
    "value",
    ["a\0b", 2**63, 10**5000, [[-(2**70)]], {"a\0": 1}],
    ids=["NUL", "65 bits", "digits", "lists", "key"],
)
def test_what_no_file_holds_is_refused_in_python_too(value: object) -> None:
    content = tomllib.loads(TEXT)
    content["entries"]["A"]["options"] = {"x": value}
    with pytest.raises(UsageError, match=r"entries.A.options: .*(64 bits|NUL)"):
        suite.Suite(**content)


def test_a_file_says_that_an_option_has_no_value(content: dict[str, Any]) -> None:
    content["entries"]["A"]["options"]["timesteps"] = {"none": True}
    assert suite.parse("it", content).entries["A"].options == {"timesteps": None}


@pytest.mark.parametrize("value", [object(), [{1: 2}], Path("weights.pt")])
def test_an_option_that_no_file_can_hold_is_refused(content: dict[str, Any], value: Any) -> None:
    content["entries"]["A"]["sample"] = {"steps": value}
    with pytest.raises(UsageError, match=r"entries\.A\.sample: .* is neither a number"):
        suite.Suite(**content)


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
        ({"seeds": []}, "seeds: should be one or more different numbers"),
        ({"seeds": [3, 3]}, "seeds: should be one or more different numbers"),
        ({"seeds": [-1]}, "seeds.0: input should be greater than or equal to 0, got -1"),
        ({"examples": "many"}, "examples: input should be a valid integer, got 'many'"),
        ({"examples": 0}, "examples: input should be greater than or equal to 1, got 0"),
        ({"examples": None}, "examples: input should be a valid integer"),
        ({"dataset": ...}, "the key 'dataset' is missing"),
        ({"entries": {}}, "entries: dictionary should have at least 1 item"),
        (
            {"entries": {"A": {"mdel": "ddpm"}}},
            "unknown key 'entries.A.mdel'; did you mean 'model'",
        ),
        ({"score": {"extracter": "x"}}, "unknown key 'score.extracter'; did you mean 'extractor'?"),
        (
            {"score": {"headline": "recall"}},
            "score: headline is 'recall', which is not among metrics",
        ),
        (
            {"score": {"collapse": {"score": "recall"}}},
            "score: collapse.score is 'recall', which is not among metrics",
        ),
        ({"score": {"collapse": {"below": 0}}}, "score.collapse.below: input should be greater"),
        (
            {"train": {"precision": "16-mixed"}},
            "train.precision: 16-mixed is refused: its loss scaler overflows by design, which "
            "would count as divergence; use bf16-mixed",
        ),
        (
            {"entries": {"A": {"model": "ddpm", "train": {"precision": "16-mixed"}}}},
            "entries.A.train.precision: 16-mixed is refused: its loss scaler",
        ),
        ({"train": {"precision": "16-true"}}, "train.precision: input should be '32-true' or"),
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
    ("section", "fields", "message"),
    [
        (
            suite.Entry,
            {"model": "ddpm", "optoins": {}},
            "Entry: unknown key 'optoins'; did you mean 'options'?",
        ),
        (
            suite.Entry,
            {"model": "ddpm", "train": {"bacth": 3}},
            "Entry: unknown key 'train.bacth'; did you mean 'batch'?",
        ),
        (suite.Entry, {"model": 3}, "Entry: model: input should be a valid string, got 3"),
        (
            suite.Entry,
            {"model": "ddpm", "options": 3},
            "Entry: options: input should be a valid dictionary, got 3",
        ),
        (suite.Score, {"reference": "digits", "metrics": []}, "Score: the key 'extractor' is miss"),
        (suite.Prompts, {"conditions": [{"label": 1}], "each": 0}, "Prompts: each: input should"),
        (suite.Suite, {"sedes": [0]}, "Suite: unknown key 'sedes'; did you mean 'seeds'?"),
    ],
)
def test_mistakes_in_python_in_one_line(
    section: type, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as error:
        section(**fields)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_an_entry_takes_one_model_by_its_place() -> None:
    assert suite.Entry("ddpm") == suite.Entry(model="ddpm")
    with pytest.raises(TypeError, match="positional arguments"):
        suite.Entry("ddpm", {"channels": 32})  # type: ignore[call-arg]


def test_runs_are_judged_by_what_the_suite_says(content: dict[str, Any]) -> None:
    usual = suite.parse("it", content).score
    assert usual.criteria == USUAL
    assert usual.criteria.to_dict() == {}
    assert usual.snapshots.metrics == ("frechet_distance", "coverage")
    content["score"] |= {
        "metrics": ["kernel_distance", "recall"],
        "headline": "kernel_distance",
        "collapse": {"score": "recall", "below": 0.5},
    }
    score = suite.parse("it", content).score
    assert criteria(score.criteria.to_dict()) == Criteria("kernel_distance", "recall", 0.5)
    assert score.snapshots.metrics == ("kernel_distance", "recall")
    assert suite.Score.model_validate_json(score.model_dump_json()) == score
    content["score"]["snapshots"] = {"metrics": ["recall"]}
    assert suite.parse("it", content).score.snapshots.metrics == ("recall",)


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


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that is fine, and four that are at fault in their own ways."""

    def build(spec: object, *, device: object = object()) -> None: ...

    def fine(spec: object, *, width: int = 8) -> None: ...

    added = {
        "odd": build,
        "fine": fine,
        "nobodys": Variant(trains="not-installed", sample={}),
        "unwritable": Variant(trains="fine", sample={"device": object()}),
    }
    gone = EntryPoint("gone", "no_such_module:build", "genbench.models")
    installed = {**registry.models.installed, "gone": [gone]}
    monkeypatch.setattr(registry.models, "installed", installed)
    monkeypatch.setattr(registry.models, "added", added)


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("gone", "model 'gone' of no_such_module:build cannot be loaded: ModuleNotFoundError"),
        ("odd", "model 'odd', option 'device': <object object at"),
        ("nobodys", "model 'nobodys' samples another: unknown model 'not-installed'"),
        ("unwritable", "model 'unwritable', option 'device': <object object at"),
    ],
)
def test_a_plugin_at_fault_costs_its_own_entries(
    content: dict[str, Any], model: str, message: str
) -> None:
    content["entries"] |= {
        "Bad": {"model": model, "options": {"width": 3}},
        "Fine": {"model": "fine", "options": {"width": 3}},
    }
    if model != "gone":
        del content["entries"]["Bad"]["options"]
    groups = suite.trainings(suite.parse("it", content), [0])
    faults = {entry.name: entry.fault for group in groups for entry in group}
    assert faults.pop("Bad", "")[: len(message)] == message  # type: ignore[index]
    assert faults == dict.fromkeys(["A", "B", "C", "Fine"])
    (bad,) = (group for group in groups if group[0].name == "Bad")
    assert [entry.name for entry in bad] == ["Bad"]
    training = bad[0].training
    assert (training.model, training.batch) == (model, 64)
    assert registry.models.code(model)


@pytest.mark.usefixtures("plugins")
def test_a_wrong_option_is_the_users_mistake_whatever_else_is_wrong(
    content: dict[str, Any],
) -> None:
    content["entries"] = {
        "Bad": {"model": "gone"},
        "Fine": {"model": "fine", "options": {"widht": 3}},
    }
    with pytest.raises(UsageError, match="model 'fine' has no option 'widht'; did you mean"):
        suite.trainings(suite.parse("it", content))


def test_the_floor_keeps_its_name(content: dict[str, Any]) -> None:
    content["entries"] = {"real": {"model": "ddpm"}}
    with pytest.raises(UsageError, match="cannot be named 'real'"):
        suite.trainings(suite.parse("it", content))


def test_overrides(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TEXT, encoding="utf-8")
    loaded = suite.Suite.from_toml(
        str(path),
        [
            "examples=64",
            "entries.A.options.timesteps=7",
            "dataset=mnist",
            "train.augment=['horizontal_flip']",
        ],
    )
    assert (loaded.examples, loaded.dataset) == (64, "mnist")
    assert loaded.train.augment == ("horizontal_flip",)
    assert loaded.entries["A"].options == {"timesteps": 7}


@pytest.mark.parametrize("override", ["examples", "=3", "examples.deep=3"])
def test_overrides_that_make_no_sense(tmp_path: Path, override: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TEXT, encoding="utf-8")
    with pytest.raises(UsageError, match="--set"):
        suite.Suite.from_toml(str(path), [override])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("quickstrat", "unknown suite 'quickstrat'; did you mean 'quickstart'?"),
        ("nowhere.toml", "cannot read the suite nowhere.toml"),
    ],
)
def test_suites_that_are_not_there(name: str, message: str) -> None:
    with pytest.raises(GenbenchError) as error:
        suite.Suite.from_toml(name)
    assert message in str(error.value)


@pytest.mark.parametrize("text", ["title = ", "when = 2020-01-01"])
def test_files_that_are_not_suites(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"bad\.toml"):
        suite.Suite.from_toml(str(path))


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two offer a suite of one name, and each one that cannot be read; two more are broken."""
    points = dict(registry.suites.installed)
    for name in ("suites_one", "suites_two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "ours.toml").write_text(TEXT, encoding="utf-8")
        points[name] = [EntryPoint(name, name, "genbench.suites")]
    (tmp_path / "suites_two" / "torn.toml").write_text("title = ", encoding="utf-8")
    points["gone"] = [EntryPoint("gone", "suites_gone", "genbench.suites")]
    points["odd"] = [EntryPoint("odd", "builtins:dict", "genbench.suites")]
    (tmp_path / "suites_one" / "latin.toml").write_bytes(b"title = '\xe9'")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry.suites, "installed", points)


@pytest.mark.usefixtures("packages")
def test_suites_of_packages_at_odds() -> None:
    names = titles(registry.suites)
    assert names["quickstart"] == suite.Suite.from_toml("quickstart").title
    assert "'ours' is claimed by suites_one and suites_two" in names["ours"]
    assert names["torn"].startswith("TOMLDecodeError: Invalid value")
    with pytest.raises(UsageError, match="suite 'ours' is claimed by suites_one and suites_two"):
        suite.Suite.from_toml("ours")
    with pytest.raises(UsageError, match="suite 'torn' is not TOML"):
        suite.Suite.from_toml("torn")
    with pytest.raises(PluginError, match="suite 'latin' of suites_one cannot be read: UnicodeDec"):
        suite.Suite.from_toml("latin")
    assert "UnicodeDecodeError" in names["latin"]
    with pytest.raises(UsageError, match="unknown suite 'mine'; ") as error:
        suite.Suite.from_toml("mine")
    assert "; suite 'gone' of suites_gone cannot be loaded: ModuleNotFound" in str(error.value)
    assert "; suites 'odd' of builtins:dict cannot be read: " in str(error.value)


@pytest.mark.parametrize("text", ["32-true", "bf16-mixed"])
def test_precisions_of_the_command_line(text: str) -> None:
    assert suite.parse_precision(text) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("16-mixed", "--precision: 16-mixed is refused: its loss scaler overflows by design"),
        ("bf16", "--precision: input should be '32-true' or 'bf16-mixed', got 'bf16'"),
    ],
)
def test_precisions_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        suite.parse_precision(text)
    assert str(error.value).startswith(message)


def test_every_built_in_suite_is_valid() -> None:
    names = titles(registry.suites)
    assert "quickstart" in names
    for name, title in names.items():
        loaded = suite.Suite.from_toml(name)
        assert loaded.title == title
        assert suite.trainings(loaded)
