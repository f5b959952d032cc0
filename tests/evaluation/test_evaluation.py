"""Scores come with their protocol, fit or refuse, and say why one is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest
import torch

import genbench
from genbench import evaluation, registry
from genbench.api import Categorical, Estimate, Output, SampleSpec, TensorSamples
from genbench.api.errors import UsageError
from genbench.metrics.frechet import FrechetDistance, frechet_distance
from genbench.metrics.vendi import VendiScore

MINE = Output(True, "mine", "other scores")


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


def test_labels_are_the_condition_of_that_name_or_the_only_one(
    halves: tuple[TensorSamples, TensorSamples],
) -> None:
    """Beside others, as a speaker beside the digit."""

    def accuracy(**names: str) -> float | None:
        sides = []
        for half in halves:
            values = {"digit": half.condition["label"], "other": torch.zeros(len(half)).long()}
            condition = {name: values[held] for name, held in names.items()}
            declared = {name: Categorical(10) for name in names}
            spec = replace(half.spec, condition=declared)
            sides.append(TensorSamples(spec, f"{half.id}{names}", half.data, condition))
        scores = genbench.evaluate(*sides, extractor="digits", metrics=["class_accuracy"])
        found = scores.values.get("class_accuracy")
        return None if found is None else found.value

    known = accuracy(label="digit")
    assert known is not None
    assert known > 0.9
    assert accuracy(label="digit", speaker="other") == known
    assert accuracy(speaker="digit") == known
    assert accuracy(digit="digit", speaker="other") is None


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
        outputs: Mapping[str, Output] = {"mine": MINE}

    monkeypatch.setitem(registry.metrics.added, "mine", Mine)
    scorer = evaluation.scorer(
        reference=halves[1], train=None, extractor="digits", outputs=["frechet_distance"]
    )
    assert scorer.code() == {}
    assert scorer.code(["mine"]).keys() == {"metric mine"}


@dataclass(frozen=True)
class KernelOptions:
    width: float = 2.0
    order: int = 1


def test_the_protocol_names_the_options_of_a_metric(
    halves: tuple[TensorSamples, TensorSamples], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of a group by its fields; and those that the metric itself does not keep."""

    class Mine(FrechetDistance):
        outputs: Mapping[str, Output] = {"mine": MINE}
        version = 3

        def __init__(
            self, *, kernel: KernelOptions = KernelOptions(order=4), few: bool = False
        ) -> None:
            super().__init__()

    monkeypatch.setitem(registry.metrics.added, "mine", Mine)
    scorer = evaluation.scorer(
        reference=halves[1], train=None, extractor="digits", outputs=["mine"]
    )
    assert scorer.protocol(10)["metrics"] == {"mine": "3 (width 2.0, order 4, few False)"}


def test_a_metric_that_fails_costs_its_own_outputs(
    halves: tuple[TensorSamples, TensorSamples], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mine(FrechetDistance):
        outputs: Mapping[str, Output] = {"mine": MINE}

        def compute(self) -> Mapping[str, Estimate]:
            raise ZeroDivisionError("a bug")

    monkeypatch.setitem(registry.metrics.added, "mine", Mine)
    few = TensorSamples(halves[0].spec, "few", halves[0].data[:4])
    wanted = ["frechet_distance", "mine", "recall"]
    scores = genbench.evaluate(few, halves[1], extractor="digits", metrics=wanted)
    assert scores.values.keys() == {"frechet_distance"}
    assert scores.outputs.keys() == {"frechet_distance"}
    assert scores.skipped["mine"] == "mine failed: ZeroDivisionError: a bug"
    assert scores.faults == ["mine"]
    assert scores.skipped["recall"] == "manifold needs at least 6 generated samples; there are 4"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_none(
    halves: tuple[TensorSamples, TensorSamples], monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    """``--json`` has no word for it."""

    class Mine(VendiScore):
        outputs: Mapping[str, Output] = {"mine": MINE, "sound": MINE}

        def compute(self) -> Mapping[str, Estimate]:
            return {"mine": Estimate(value), "sound": Estimate(1.0)}

    monkeypatch.setitem(registry.metrics.added, "mine", Mine)
    scores = genbench.evaluate(*halves, extractor="digits", metrics=["mine", "sound"])
    assert scores.values == {"sound": Estimate(1.0)}
    assert scores.skipped == {"mine": f"mine is {value}"}


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


def test_scores_read_as_a_table_with_their_protocol(
    halves: tuple[TensorSamples, TensorSamples],
) -> None:
    train, test = halves
    scores = genbench.evaluate(train, test, extractor="digits", metrics=["precision", "memorized"])
    lines = repr(scores).splitlines()
    low, high = scores.values["precision"].low, scores.values["precision"].high
    assert low is not None
    assert high is not None
    assert lines[0].split() == [
        "precision",
        f"{scores.values['precision'].value:.6g}",
        f"[{low:.6g},",
        f"{high:.6g}]",
    ]
    assert lines[1] == "memorized  -  (needs the generator's training set)"
    assert f"reference: {test.id}" in lines
    with pytest.raises(AttributeError):
        scores.values = {}  # type: ignore[misc]


def test_two_protocols_say_exactly_what_differs(
    halves: tuple[TensorSamples, TensorSamples],
) -> None:
    train, test = halves
    wanted = ["frechet_distance"]
    whole = genbench.evaluate(train, test, extractor="digits", metrics=wanted)
    few = TensorSamples(train.spec, "few", train.data[:500])
    part = genbench.evaluate(few, test, extractor="identity", metrics=wanted)
    assert whole.differences(whole) == []
    assert whole.differences(part) == [
        f"extractor: {whole.protocol['extractor']} against identity",
        f"samples: {len(train)} against 500",
    ]


def test_arrays_and_tensors_are_samples(halves: tuple[TensorSamples, TensorSamples]) -> None:
    points = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    other = torch.randn(400, 2, generator=torch.Generator().manual_seed(1)) + 1
    wanted = ["frechet_distance", "kernel_distance"]
    scores = genbench.evaluate(points, other.numpy(), extractor="identity", metrics=wanted)
    mu, sigma = other.double().mean(0), other.double().T.cov()
    expected = frechet_distance(points.double().mean(0), points.double().T.cov(), mu, sigma)
    assert scores.values["frechet_distance"].value == pytest.approx(expected, rel=1e-10)
    assert scores.protocol["samples"] == 300


def test_a_metric_that_leaves_out_an_output_costs_that_alone(
    halves: tuple[TensorSamples, TensorSamples], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Careless(VendiScore):
        outputs: Mapping[str, Output] = {"said": MINE, "unsaid": MINE}

        def compute(self) -> Mapping[str, Estimate]:
            return {"said": Estimate(1.0)}

    monkeypatch.setitem(registry.metrics.added, "careless", Careless)
    scores = genbench.evaluate(*halves, extractor="digits", metrics=["unsaid", "said"])
    assert scores.values == {"said": Estimate(1.0)}
    assert scores.skipped == {"unsaid": "careless did not compute it"}
    assert scores.faults == ["unsaid"]


def test_too_few_samples_for_the_features_are_told(
    halves: tuple[TensorSamples, TensorSamples],
) -> None:
    train, test = halves
    few = TensorSamples(train.spec, "few", train.data[:40])
    scores = genbench.evaluate(few, test, extractor="digits", metrics=["frechet_distance"])
    estimate = scores.values["frechet_distance"]
    assert estimate.low is None
    assert scores.notes == [
        "frechet_distance: 40 samples fit no covariance of 64 features: look at kernel_distance, "
        "which needs none"
    ]
