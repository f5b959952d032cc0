"""A suite expand_grid with a grid of settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genbench import registry, suite
from genbench.api.errors import UsageError
from genbench.suite import expand_grid, parse_over

TOY = Path(__file__).parents[1] / "plugins" / "toy.py"


@pytest.fixture(autouse=True)
def plugins() -> None:
    registry.add_plugin_file(TOY)


def content(**entries: dict[str, Any]) -> suite.Suite:
    return suite.parse(
        "a suite",
        {
            "title": "Toys",
            "dataset": "points-ring",
            "seeds": [0, 1],
            "examples": 640,
            "samples": 128,
            "score": {
                "extractor": "identity",
                "reference": "points-ring:test",
                "metrics": ["frechet_distance"],
            },
            "entries": entries,
        },
    )


@pytest.mark.parametrize(
    ("over", "settings"),
    [
        (["batch=32,64"], {"batch": [32, 64]}),
        (["rate=1e-3,3e-3,batch=32"], {"rate": [0.001, 0.003], "batch": [32]}),
        (["rate=1e-3", "batch=32,64"], {"rate": [0.001], "batch": [32, 64]}),
        (["batch=32", "batch=64"], {"batch": [32, 64]}),
        (["loss=hinge,wasserstein"], {"loss": ["hinge", "wasserstein"]}),
        (["flag=true,false"], {"flag": [True, False]}),
        (["multipliers=[1,2],[1,2,2],rate=1"], {"multipliers": [[1, 2], [1, 2, 2]], "rate": [1]}),
        ([" rate = 1, 2 , batch = 3"], {"rate": [1, 2], "batch": [3]}),
    ],
)
def test_parse_over(over: list[str], settings: dict[str, list[Any]]) -> None:
    assert parse_over(over) == settings


@pytest.mark.parametrize(
    ("over", "message"),
    [
        (["32,64"], "--over 32,64: write KEY=VALUE,VALUE"),
        (["=32"], "--over =32: write KEY=VALUE,VALUE"),
        (["batch=32,32"], "batch 32 is given twice"),
        (["rate=1e-3,0.001"], "rate 0.001 is given twice"),
        (["rate=1", "rate=1.0"], "rate 1.0 is given twice"),
    ],
)
def test_what_is_no_grid(over: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_over(over)


def test_every_entry_at_every_point() -> None:
    before = content(
        Toy={"model": "toy", "options": {"learning_rate": 0.5}, "train": {"ema_halflife": 9.0}},
        Wide={"model": "toy", "sample": {"scale": 0.5}, "train": {"ema_halflife": 9.0}},
    )
    grid = expand_grid(before, parse_over(["learning_rate=0.1,0.2,batch=16,32"]))
    assert (
        list(grid.points)
        == list(grid.suite.entries)
        == [
            f"{entry} · learning_rate {rate} · batch {batch}"
            for entry in ("Toy", "Wide")
            for rate in (0.1, 0.2)
            for batch in (16, 32)
        ]
    )
    point = grid.points["Toy · learning_rate 0.2 · batch 16"]
    assert (point.entry, point.settings) == ("Toy", {"learning_rate": 0.2, "batch": 16})
    section = grid.suite.entries["Toy · learning_rate 0.2 · batch 16"]
    assert section.options == {"learning_rate": 0.2}
    assert section.train == {"batch": 16, "ema_halflife": 9.0}
    # All else is the suite's own.
    assert grid.suite.model_copy(update={"entries": before.entries}) == before
    # Two samplings of one model still train once a point and seed.
    groups = suite.trainings(grid.suite)
    assert [len(group) for group in groups] == [2] * 8
    assert {(g[0].training.batch, g[0].training.options["learning_rate"]) for g in groups} == {
        (16, 0.1),
        (16, 0.2),
        (32, 0.1),
        (32, 0.2),
    }


def test_a_variant_has_the_options_of_what_trains() -> None:
    grid = expand_grid(content(DDIM={"model": "ddim"}), {"timesteps": [50, 100]})
    ((first, *_), _) = suite.trainings(grid.suite, seeds=[0])
    assert (first.model, first.training.model) == ("ddim", "ddpm")
    assert first.training.options["timesteps"] == 50


def test_an_entry_without_the_setting_is_left_out() -> None:
    before = content(Toy={"model": "toy"}, Other={"model": "capable"})
    grid = expand_grid(before, {"learning_rate": [0.1]})
    assert list(grid.points) == ["Toy · learning_rate 0.1"]
    assert grid.left_out == {"Other": "model 'capable' has no option learning_rate"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rat": [1]}, "no entry has a setting 'learning_rat'; did you mean 'learning_r"),
        ({"bach": [1]}, "no entry has a setting 'bach'; did you mean 'batch'?"),
        ({"learning_rate": [1], "pretrained": [True]}, "no entry has all of learning_rate, pretra"),
        ({"batch": ["x"]}, "Toy · batch x.train.batch: input should be a valid integer, got 'x'"),
        ({"batch": [0]}, "greater than or equal to 1, got 0"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, list[Any]], message: str) -> None:
    before = content(Toy={"model": "toy"}, Other={"model": "capable"})
    with pytest.raises(UsageError, match=message):
        expand_grid(before, settings)


def test_values_are_checked_against_the_model() -> None:
    grid = expand_grid(content(Toy={"model": "toy"}), {"learning_rate": ["fast"]})
    with pytest.raises(UsageError, match="option 'learning_rate': input should be a valid number"):
        suite.trainings(grid.suite)


def test_the_runs_of_a_plugin_at_fault_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    def get(name: str) -> Any:
        raise registry.PluginError(f"model {name!r} cannot be loaded")

    monkeypatch.setattr(registry.models, "get", get)
    grid = expand_grid(content(Toy={"model": "toy"}), {"anything": [1, 2]})
    assert [group[0].fault for group in suite.trainings(grid.suite, [0])] == [
        "model 'toy' cannot be loaded"
    ] * 2
