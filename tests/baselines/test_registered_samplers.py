"""A sampler that a plugin registers, in every diffusion, and through a suite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import genbench
from genbench import registry
from genbench.api import GenerativeModel, SampleSpec
from genbench.api.errors import UsageError
from genbench.cli import main

PLUGIN = Path(__file__).parents[1] / "plugins" / "euler.py"
SPEC = SampleSpec("points", (2,), levels=None)
NETWORK = {"channels": 16, "blocks": 1}
MODELS: dict[str, dict[str, Any]] = {
    "ddpm": {"steps": 10},
    "edm": {"steps": 10},
    "flow-matching": {"steps": 10},
    "score-sde": {"steps": 10},
}


@pytest.fixture(autouse=True, scope="module")
def plugin(names_of_its_own: None) -> None:
    registry.add_plugin_file(PLUGIN)


def model(name: str) -> GenerativeModel:
    torch.manual_seed(0)
    made: GenerativeModel = registry.models.make(name, SPEC, **NETWORK)
    return made


def options(name: str, sampler: Any) -> dict[str, Any]:
    return registry.check_options("it", model(name).sample, MODELS[name] | {"sampler": sampler})


@pytest.mark.parametrize("name", MODELS)
def test_every_diffusion_takes_it_with_its_options(name: str) -> None:
    resolved = options(name, "ratio-euler")
    assert resolved["sampler"] == {"name": "ratio-euler", "churn": 0.0}
    assert options(name, resolved["sampler"]) == resolved  # as a record holds it
    noise = torch.randn(8, 2, generator=torch.Generator().manual_seed(1))
    plain = model(name).sample(noise, {}, **resolved)
    noisy = model(name).sample(noise, {}, **options(name, {"name": "ratio-euler", "churn": 0.1}))
    assert plain.isfinite().all()
    assert noisy.isfinite().all()
    assert not torch.equal(plain, noisy)


def test_it_is_given_the_denoiser_and_the_schedule() -> None:
    """Against DDIM, whose steps are Euler's in sigma/alpha (Song, Meng & Ermon 2021, eq. 13)."""
    noise = torch.randn(8, 2, generator=torch.Generator().manual_seed(1))
    ours = model("ddpm").sample(noise, {}, **options("ddpm", "ddim"))
    theirs = model("ddpm").sample(noise, {}, **options("ddpm", "ratio-euler"))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        ("ratio-eulr", "unknown sampler 'ratio-eulr'; did you mean 'ratio-euler'"),
        ("ddmp", "unknown sampler 'ddmp'; did you mean 'ddim'"),
        (
            {"name": "ratio-euler", "chrun": 1.0},
            "has no option 'chrun'; did you mean 'churn'",
        ),
        (
            {"name": "ratio-euler", "churn": "much"},
            "'churn': input should be a valid number",
        ),
        ({"name": "ddim", "eta": 1.0}, "options of sampler 'ddim' are the model's own"),
        ({"churn": 1.0}, "write a name, or { name = … } with options"),
        (3, "write a name, or { name = … } with options; got 3"),
    ],
)
def test_mistakes_in_one_line(sampler: Any, message: str) -> None:
    with pytest.raises(UsageError) as error:
        options("ddpm", sampler)
    assert message in str(error.value)


def test_it_is_listed() -> None:
    listed = CliRunner().invoke(main, ["list", "samplers"])
    line = "ratio-euler  Euler's method in sigma/alpha, with a share of noise."
    assert listed.stdout.startswith(line)
    assert "Those that a model brings itself" in listed.stderr  # `ddim` of `ddpm`, say


def suite(sampler: Any) -> genbench.Suite:
    return genbench.Suite(
        title="Samplers",
        dataset="points-ring",
        seeds=[0],
        examples=256,
        samples=64,
        score={
            "extractor": "identity",
            "reference": "points-ring:test",
            "metrics": ["frechet_distance"],
            "snapshots": {"count": 1, "samples": 64, "metrics": []},
        },
        entries={
            "Euler": {
                "model": "ddpm",
                "options": NETWORK,
                "sample": {"sampler": sampler, "steps": 5},
            }
        },
    )


def test_it_runs_in_a_suite(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown sampler 'ratio-eulr'"):
        genbench.run(suite("ratio-eulr"), tmp_path / "wrong", plugins=[PLUGIN], jobs=1)
    run = genbench.run(suite("ratio-euler"), tmp_path / "run", plugins=[PLUGIN], jobs=1)
    (record,) = [record for record in run.records if record.entry == "Euler"]
    assert record.status == "done", record.reason
    assert record.conditions["sample"]["sampler"] == {"name": "ratio-euler", "churn": 0.0}
    assert record.value("frechet_distance") is not None
