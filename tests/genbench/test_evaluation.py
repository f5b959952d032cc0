"""Scores come with their protocol, fit or refuse, and say why one is missing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

import genbench
from genbench import evaluation, registry
from genbench.data import open_samples
from genbench.errors import UsageError
from genbench.metrics.frechet import FrechetDistance
from genbench.metrics.vendi import VendiScore
from genbench.types import Estimate, SampleSpec, TensorSamples


@pytest.fixture(scope="module")
def halves() -> tuple[TensorSamples, TensorSamples]:
    train = open_samples("digits:train", Path("data"))
    test = open_samples("digits:test", Path("data"))
    assert isinstance(train, TensorSamples)
    assert isinstance(test, TensorSamples)
    return train, test


def test_real_digits_against_real_digits(halves: tuple[TensorSamples, TensorSamples]) -> None:
    train, test = halves
    scores = genbench.evaluate(train, test, train=train, extractor="digits")
    assert list(scores.values) == list(evaluation.DEFAULT_METRICS)
    assert scores.skipped == {}
    value = {name: estimate.value for name, estimate in scores.values.items()}
    assert value["frechet_distance"] > 0
    assert abs(value["kernel_distance"]) < value["frechet_distance"]
    assert value["precision"] > 0.6
    assert value["recall"] > 0.6
    # Every picture is its own nearest neighbour in the training set.
    assert value["memorized"] > 0.99
    assert scores.protocol["reference"] == test.id
    assert scores.protocol["samples"] == len(train)
    frame = scores.to_frame()
    assert list(frame.columns) == ["metric", "value", "low", "high"]
    assert len(frame) == len(value)


def test_noise_scores_worse_than_digits(halves: tuple[TensorSamples, TensorSamples]) -> None:
    train, test = halves
    noise = torch.randint(0, 17, train.data.shape, generator=torch.Generator().manual_seed(0))
    wanted = ["frechet_distance", "precision", "coverage"]
    good = genbench.evaluate(train, test, extractor="digits", metrics=wanted).values
    bad = genbench.evaluate(
        TensorSamples(test.spec, "noise", noise.byte()), test, extractor="digits", metrics=wanted
    ).values
    assert bad["frechet_distance"].value > 10 * good["frechet_distance"].value
    assert bad["precision"].value < good["precision"].value / 2
    assert bad["coverage"].value < good["coverage"].value / 2


def test_two_calls_give_the_same_digits(halves: tuple[TensorSamples, TensorSamples]) -> None:
    train, test = halves
    torch.manual_seed(1)
    first = genbench.evaluate(train, test, extractor="digits")
    torch.manual_seed(2)
    assert genbench.evaluate(train, test, extractor="digits") == first


def test_what_cannot_be_computed_is_skipped_with_the_reason(
    halves: tuple[TensorSamples, TensorSamples],
) -> None:
    train, test = halves
    scores = genbench.evaluate(
        train, test, extractor="identity", metrics=["memorized", "inception_score", "recall"]
    )
    assert list(scores.values) == ["recall"]
    assert scores.skipped["memorized"] == "needs the generator's training set"
    assert "needs logits" in scores.skipped["inception_score"]


def test_kept_features_change_nothing(halves: tuple[TensorSamples, TensorSamples]) -> None:
    train, test = halves
    scorer = evaluation.scorer(
        reference=test, train=train, extractor="digits", outputs=["frechet_distance", "memorized"]
    )
    first = scorer(train)
    assert scorer(train) == first
    few = TensorSamples(train.spec, "few", train.data[:200])
    assert scorer(few).values != first.values
    assert scorer(few, ["frechet_distance"]).protocol["metrics"].keys() == {"frechet_distance"}


def test_the_code_of_a_plugin_metric_counts_where_it_is_used(
    halves: tuple[TensorSamples, TensorSamples], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the suite asks for it along training alone."""

    class Mine(VendiScore):
        outputs: Mapping[str, bool] = {"mine": True}

    monkeypatch.setitem(registry.metrics._added, "mine", Mine)
    scorer = evaluation.scorer(
        reference=halves[1], train=None, extractor="digits", outputs=["frechet_distance"]
    )
    assert scorer.code() == {}
    assert scorer.code(["mine"]).keys() == {"metric mine"}


def test_a_metric_that_fails_costs_its_own_outputs(
    halves: tuple[TensorSamples, TensorSamples], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mine(FrechetDistance):
        outputs: Mapping[str, bool] = {"mine": False}

        def compute(self) -> Mapping[str, Estimate]:
            raise ZeroDivisionError("a bug")

    monkeypatch.setitem(registry.metrics._added, "mine", Mine)
    few = TensorSamples(halves[0].spec, "few", halves[0].data[:4])
    wanted = ["frechet_distance", "mine", "recall"]
    scores = genbench.evaluate(few, halves[1], extractor="digits", metrics=wanted)
    assert scores.values.keys() == {"frechet_distance"}
    assert scores.better.keys() == {"frechet_distance"}
    assert scores.skipped["mine"] == "mine failed: ZeroDivisionError: a bug"
    assert scores.faults == ["mine"]
    assert scores.skipped["recall"] == "manifold needs at least 6 generated samples; there are 4"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metrics": ["frechet"]}, "unknown metric 'frechet'; did you mean 'frechet_distance'?"),
        ({"extractor": "digit"}, "unknown extractor 'digit'; did you mean 'digits'?"),
        ({"reference": "digts:test"}, "digits"),
        ({"extractor": "inception"}, "extractor 'inception' cannot embed digits:test@"),
    ],
)
def test_mistakes_in_one_line(
    halves: tuple[TensorSamples, TensorSamples], arguments: dict[str, object], message: str
) -> None:
    given = {"samples": halves[0], "reference": halves[1], "extractor": "digits"} | arguments
    with pytest.raises(UsageError) as error:
        genbench.evaluate(**given)  # type: ignore[arg-type]
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "spec",
    [
        SampleSpec("image", (1, 8, 8), levels=256),
        SampleSpec("image", (3, 8, 8), levels=17),
        SampleSpec("points", (1, 8, 8), levels=17),
    ],
)
def test_samples_that_do_not_fit(
    halves: tuple[TensorSamples, TensorSamples], spec: SampleSpec
) -> None:
    other = TensorSamples(spec, "mine", torch.zeros(5, *spec.shape, dtype=torch.uint8))
    with pytest.raises(UsageError, match="mine does not fit digits:test@"):
        genbench.evaluate(other, halves[1], extractor="digits")
