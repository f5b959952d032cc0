"""Scores come with their protocol, fit or refuse, and say why one is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import genbench
from genbench import evaluation, registry, store
from genbench.api import Estimate, Features, Output, SampleSpec, TensorSamples
from genbench.api.errors import UsageError
from genbench.data import open_samples
from genbench.evaluation import embedding
from genbench.metrics.frechet import FrechetDistance, frechet_distance
from genbench.metrics.vendi import VendiScore

MINE = Output(True, "mine", "other scores")


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


def test_published_statistics_give_a_frechet_distance_alone(tmp_path: Path) -> None:
    points = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    other = torch.randn(400, 2, generator=torch.Generator().manual_seed(1)).double() + 1
    path = tmp_path / "statistics.npz"
    np.savez(path, mu=other.mean(0).numpy(), sigma=other.T.cov().numpy())
    wanted = ["frechet_distance", "precision", "memorized"]
    scores = genbench.evaluate(points, path, extractor="identity", metrics=wanted)
    samples = genbench.evaluate(points, other, extractor="identity", metrics=wanted)
    value = scores.values["frechet_distance"]
    assert scores.values.keys() == {"frechet_distance"}
    assert value.value == pytest.approx(samples.values["frechet_distance"].value, rel=1e-6)
    assert value.low is not None
    assert value.note is None
    assert "holds statistics" in scores.skipped["precision"]
    assert scores.protocol["reference"].startswith("file:statistics.npz@")


def test_statistics_beside_samples_give_the_frechet_distance_and_samples_the_rest(
    tmp_path: Path,
) -> None:
    """As the reference batches of guided-diffusion have them: of more samples than they hold."""
    points = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    held = torch.randn(400, 2, generator=torch.Generator().manual_seed(1))
    mu, sigma = np.array([3.0, 4.0]), np.diag([4.0, 9.0])
    path = tmp_path / "batch.npz"
    np.savez(path, arr_0=held.numpy(), mu=mu, sigma=sigma)
    wanted = ["frechet_distance", "kernel_distance", "precision", "recall"]
    scores = genbench.evaluate(points, path, extractor="identity", metrics=wanted)
    alone = genbench.evaluate(points, held, extractor="identity", metrics=wanted)
    assert scores.skipped == {}
    # Heusel et al. 2017: |m₁ - m₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁Σ₂)^½)
    x = points.double().numpy()
    cov = np.cov(x, rowvar=False)
    root = np.sqrt(np.linalg.eigvals(cov @ sigma)).sum().real
    known = ((x.mean(0) - mu) ** 2).sum() + np.trace(cov + sigma) - 2 * root
    assert scores.values["frechet_distance"].value == pytest.approx(known, rel=1e-9)
    assert alone.values["frechet_distance"].value < known / 10
    for name in wanted[1:]:
        assert scores.values[name] == alone.values[name]
    (note,) = scores.notes
    assert note.startswith("frechet_distance: from the statistics in file:batch.npz")
    assert any(line.startswith("statistics: ") for line in scores.differences(alone))
    few = genbench.evaluate(points, path, extractor="identity", metrics=["precision"])
    assert "statistics" not in few.protocol
    np.savez(path, arr_0=held.numpy(), mu=mu, sigma=2 * sigma)
    other = genbench.evaluate(points, path, extractor="identity", metrics=["precision"])
    assert other.protocol["reference"] != few.protocol["reference"]


def test_statistics_of_another_network_beside_samples_leave_these(tmp_path: Path) -> None:
    points, held = torch.randn(50, 2), torch.randn(60, 2)
    path = tmp_path / "batch.npz"
    np.savez(path, samples=held.numpy(), mu=np.zeros(3), sigma=np.eye(3))
    options = {"extractor": "identity", "metrics": ["frechet_distance"]}
    scores = genbench.evaluate(points, path, **options)  # type: ignore[arg-type]
    alone = genbench.evaluate(points, held, **options)  # type: ignore[arg-type]
    values = [one.values["frechet_distance"].value for one in (scores, alone)]
    assert values[0] == values[1]
    assert "from the samples in file:batch.npz: its statistics are of 3 features" in scores.notes[0]


def test_a_mu_and_a_sigma_that_are_no_statistics(tmp_path: Path) -> None:
    """Of a normalisation, or of each sample's latent code."""
    held = torch.randn(60, 2).numpy()
    plain = open_samples(str(_saved(tmp_path, samples=held)), tmp_path).id
    for mu, sigma in ((0.5, 0.5), (np.zeros(2), np.ones(2)), (np.zeros((60, 4)),) * 2):
        path = _saved(tmp_path, samples=held, mu=mu, sigma=sigma)
        assert open_samples(str(path), tmp_path).id == plain


def _saved(folder: Path, **arrays: object) -> Path:
    np.savez(folder / "x.npz", **arrays)  # type: ignore[arg-type]
    return folder / "x.npz"


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


def test_scores_that_need_no_reference_do_not_mind_statistics(
    halves: tuple[TensorSamples, TensorSamples], tmp_path: Path
) -> None:
    train, test = halves
    path = tmp_path / "statistics.npz"
    np.savez(path, mu=np.zeros(64), sigma=np.eye(64))
    wanted = ["vendi_score", "inception_score", "memorized", "authenticity"]
    scores = genbench.evaluate(test, path, train=train, extractor="digits", metrics=wanted)
    beside = genbench.evaluate(test, train, train=train, extractor="digits", metrics=wanted)
    assert scores.skipped == {}
    assert scores.values == beside.values
    other = TensorSamples(SampleSpec("image", (1, 4, 4), 17), "other", train.data[..., :4, :4])
    with pytest.raises(UsageError, match="does not fit other"):
        genbench.evaluate(test, path, train=other, extractor="digits", metrics=wanted)


def test_statistics_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "statistics.npz"
    np.savez(path, mu=np.zeros(3), sigma=np.eye(3))
    scores = genbench.evaluate(
        torch.randn(50, 2), path, extractor="identity", metrics=["frechet_distance"]
    )
    assert scores.skipped["frechet_distance"] == (
        "frechet_distance: the reference has 3 features a sample, the generated samples have 2"
    )


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


def test_a_reference_is_embedded_once_for_all_commands(
    halves: tuple[TensorSamples, TensorSamples],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where it took long; and only where its id names its contents."""
    train, test = halves
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(embedding, "WORTH_KEEPING", 0.0)
    stages: list[str] = []

    def score(reference: TensorSamples) -> evaluation.Scores:
        stages.clear()
        return genbench.evaluate(
            train,
            reference,
            extractor="digits",
            metrics=["frechet_distance", "recall"],
            report=lambda event: stages.append(event.stage),
        )

    first = score(test)
    computing = {"compute frechet_distance", "compute manifold"}
    assert set(stages) == {f"embed {test.id}", f"embed {train.id}", *computing}
    assert score(test) == first
    assert set(stages) == {f"embed {train.id}", *computing}
    (kept,) = (tmp_path / "features").glob("*.safetensors")
    kept.write_bytes(kept.read_bytes()[:-1])
    assert score(test) == first  # what is damaged is made anew
    assert store.read_artefact(kept) is not None
    foreign = store.pack_tensors({"features": torch.zeros(899, 64)})
    known = store.require_artefact(kept)[1]
    short = store.pack_tensors({"features": torch.zeros(898, 64, dtype=torch.float64)})
    another = store.pack_tensors({"others": torch.zeros(899, 64)})
    for data, card in (
        *((data, known) for data in (b"", b"no tensors", short, another)),
        *((foreign, card) for card in ({}, {**known, "identity": "0" * 16})),
    ):
        store.write_artefact(kept, data, card)  # whose checksum is right
        assert score(test) == first
        assert set(stages) == {f"embed {test.id}", f"embed {train.id}", *computing}
    score(TensorSamples(test.spec, "mine", test.data))
    assert len(list((tmp_path / "features").glob("*.safetensors"))) == 1


UNIT = 1.0


class Scaled:
    """An extractor whose id tells nothing of its options."""

    id = "scaled"

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def supports(self, spec: SampleSpec) -> None:
        """Anything."""

    def to(self, device: torch.device | str) -> Scaled:
        return self

    def __call__(self, stored: Tensor, spec: SampleSpec) -> Features:
        return {"features": UNIT * self.factor * stored.double().flatten(1)}


def scaled(*, factor: float = 1.0) -> Scaled:
    """The samples themselves, in another unit."""
    return Scaled(factor)


def test_a_kept_reference_follows_the_extractor_s_options_and_its_code(
    halves: tuple[TensorSamples, TensorSamples], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(embedding, "WORTH_KEEPING", 0.0)
    monkeypatch.setitem(registry.extractors.added, "scaled", scaled)

    def score(factor: float) -> float:
        scores = genbench.evaluate(
            *halves,
            extractor="scaled",
            extractor_options={"factor": factor},
            metrics=["energy_distance"],
        )
        return scores.values["energy_distance"].value

    once = score(1.0)
    assert score(3.0) == pytest.approx(3 * once)
    monkeypatch.setattr(f"{__name__}.UNIT", 2.0)
    monkeypatch.setattr(registry.extractors, "code", lambda name: registry.Code("edited", {}))
    assert score(1.0) == pytest.approx(2 * once)
    assert len(list((tmp_path / "features").glob("*.safetensors"))) == 3

    def unknown(name: str) -> str:
        raise UsageError(f"{name} has no source file: put it in one")

    monkeypatch.setattr(registry.extractors, "code", unknown)  # as at an interactive prompt
    monkeypatch.setattr(f"{__name__}.UNIT", 5.0)
    assert score(1.0) == pytest.approx(5 * once)
    assert len(list((tmp_path / "features").glob("*.safetensors"))) == 3


def test_a_cache_that_cannot_be_written_costs_nothing(
    halves: tuple[TensorSamples, TensorSamples], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "WORTH_KEEPING", 0.0)
    (tmp_path / "file").touch()
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / "file" / "cache"))
    scores = genbench.evaluate(*halves, extractor="digits", metrics=["frechet_distance"])
    assert scores.values.keys() == {"frechet_distance"}
