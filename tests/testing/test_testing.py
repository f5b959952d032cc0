"""Conformance checks: a broken plugin is caught by the right one, and a sound one passes all."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import SkipTest

import pytest
import torch
from click.testing import CliRunner, Result

from genbench import registry, testing
from genbench.api import Batch, SampleSpec, TensorSamples, Text
from genbench.api.errors import UnknownName, UsageError
from genbench.cli import main
from genbench.data import open_samples
from genbench.io.arrays import save_npz
from genbench.testing import (
    Check,
    CheckFailed,
    dataset_checks,
    extractor_checks,
    metric_checks,
    model_checks,
    parametrize_with_checks,
    processes,
)
from genbench.testing.model_under_test import ModelUnderTest
from genbench.testing.processes import TwoProcessTrainings, location_of

PLUGINS = Path(__file__).parents[1] / "plugins"
with pytest.MonkeyPatch.context() as patch:  # this module's names, not those of all collected
    for group in registry.GROUPS:
        patch.setattr(group, "added", dict(group.added))
    for name in ("broken.py", "broken_parts.py"):
        registry.add_plugin_file(PLUGINS / name)
    models: Any = sys.modules[registry.models.get("sound").__module__]
    parts: Any = sys.modules[registry.metrics.get("wrong-way").__module__]
    ADDED = [group.added for group in registry.GROUPS]
    patch.syspath_prepend(str(PLUGINS))
    patch.setitem(sys.modules, "broken", models)
    abilities: Any = import_module("broken_capabilities")


@pytest.fixture(autouse=True, scope="module")
def broken_plugins() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for group, added in zip(registry.GROUPS, ADDED, strict=True):
            patch.setattr(group, "added", added)
        yield


PROCESSES = "two processes train it in step"
"""The one check that starts processes; its tests share them."""

SMALL: dict[str, dict[str, Any]] = {
    "ddpm": {"options": {"channels": 4, "timesteps": 25}},
    "ddim": {"options": {"channels": 4, "timesteps": 60}, "data": ["points-ring"]},
    "score-sde": {"options": {"channels": 4}, "sample": {"steps": 5}},
    "gan": {"options": {"channels": 2}},
}


def faults(checks: Sequence[Check]) -> dict[str, str]:
    """The promises that are broken, and what was seen."""
    tried = [check for check in checks if check.promise != PROCESSES]
    return {str(c): c.result.reason for c in tried if c.result.status == "failed"}


def skipped(checks: Sequence[Check]) -> set[str]:
    """The reasons."""
    tried = [check for check in checks if check.promise != PROCESSES]
    return {c.result.reason for c in tried if c.result.status == "skipped"}


def assert_caught(checks: Sequence[Check], promise: str, reason: str) -> None:
    """By that promise, and by no other."""
    found = faults(checks)
    assert [promise in each for each in found] == [True], found
    assert reason in next(iter(found.values()))


@pytest.mark.parametrize(
    ("model", "promise", "reason"),
    [
        ("NanLoss", "it trains", "the loss of 'generator' is inf at step 5"),
        ("LateRefusal", "it trains", "it refuses the samples only now: it needs labels"),
        ("NoGradient", "every player", "'critic' receives no gradient in 20 steps"),
        ("NeverMoves", "every player", "'critic' has no turn in 20 steps"),
        ("Standing", "every player", "'critic' does not move in 20 steps"),
        ("Outside", "nothing outside `players` is trained", "parameter 'extra' moved"),
        ("Greedy", "an optimiser over its own", "that of 'generator' also moves 'critic.layer"),
        ("Twice", "an optimiser over its own", "two of 'generator' move the same parameter"),
        ("Negative", "learning rates", "that of 'generator' is -"),
        ("Forgetful", "a resumed training", "a parameter or a buffer"),
        ("Unnormalised", "loaded from `state_dict`", "what sampling needs is a parameter"),
        ("OwnGenerator", "the seed decides", "two trainings with one seed differ in 'players."),
        ("Reseeds", "the seed decides", "the model seeds torch's global generator"),
        ("DataDecides", "not on the data", "it is generator and critic on some data and generator"),
        ("NoBfloat16", "bf16-mixed", "BFloat16"),
        (
            "BatchStatistics",
            "does not depend on the others of its batch",
            "its values change by up to",
        ),
        ("Carries", "alone or among others", "of 64 samples differ"),
        ("Counts", "leaves the model as it was", "'seen' has changed"),
        ("WrongShape", "samples are", "it returns (5, 64), not (5, 1, 8, 8)"),
        ("StoredLevels", "samples are", "the model's view is -1 to 1, not from 0 up"),
        ("NanSamples", "samples are", "some are NaN or infinite"),
        ("Decoded", "samples are", "it returns torch.uint8"),
        ("LooseOption", "the options of `sample`", "'steps' is not keyword-only"),
        ("wrong_default", "its options", "option 'depth': input should be a valid integer"),
    ],
)
def test_broken_models(model: str, promise: str, reason: str) -> None:
    assert_caught(model_checks(getattr(models, model), data=["digits"]), promise, reason)


def test_a_shared_parameter() -> None:
    """Whichever check sees it first: safetensors refuse it as well."""
    found = faults(model_checks(models.Shared, data=["digits"]))
    assert "'generator.layer.weight' is also a parameter of 'critic'" in str(found) or (
        "'generator.layer.bias' is also a parameter of 'critic'" in str(found)
    )


def test_a_model_that_falls_over_samples_where_it_should_refuse_them() -> None:
    checks = model_checks(models.two_dimensional)
    assert_caught(checks, "points-ring: it is built, or refuses", "ValueError: not enough values")


@pytest.mark.parametrize(
    ("model", "promise", "reason"),
    [
        ("BitsOfTheBatch", "finite code length", "it returns (), not (8,)"),
        ("NanBits", "finite code length", "some are NaN or infinite"),
        ("LogLikelihood", "finite code length", "they are -3 on average"),
        ("OtherEnd", "`trajectory` ends in", "its last state differs by up to"),
        ("FlatTrajectory", "`trajectory` ends in", "state 0 has shape (5, 64), not (5, 1, 8, 8)"),
        ("NoTrajectory", "`trajectory` ends in", "it passes through nothing"),
        ("Backwards", "`diffused` leads", "at fraction 0 it is "),
        ("Stops", "`diffused` leads", "at fraction 1 it is "),
        ("OwnScale", "`diffused` leads", "at fraction 1 it is "),
        ("Anonymous", "`codec` encodes", "its `id` is None, not a name"),
        ("Flattens", "`codec` encodes", "`decode` returns (5, 64), not (5, 1, 8, 8)"),
        ("TrainedCodec", "`codec` encodes", "its 'factor' moves in training"),
        ("Deaf", "each of its `conditions`", "another 'label' gives the same samples"),
    ],
)
def test_broken_capabilities(model: str, promise: str, reason: str) -> None:
    assert_caught(model_checks(getattr(abilities, model), data=["digits"]), promise, reason)


def test_a_model_that_offers_everything() -> None:
    checks = model_checks(abilities.Able, data=["digits"])
    assert {c.result.status for c in checks if c.promise != PROCESSES} == {"passed"}


@pytest.fixture
def captioned(tmp_path: Path) -> str:
    """A file of digits with captions."""
    digits = open_samples("digits:train", Path()).take(torch.arange(256))
    spec = SampleSpec("image", (1, 8, 8), 17, {"caption": Text(2, 3)})
    tokens = torch.arange(512).view(256, 2) % 2 + 1
    words = {"caption": ["short" if row % 2 else "a longer one" for row in range(256)]}
    samples = TensorSamples(spec, "", digits.data, {"caption": tokens}, words)
    save_npz(tmp_path / "captioned.npz", samples)
    return f"npz:{tmp_path / 'captioned.npz'}"


def test_models_that_read_words(captioned: str) -> None:
    checks = model_checks(abilities.Reads, data=[captioned])
    assert {c.result.status for c in checks if c.promise != PROCESSES} == {"passed"}
    checks = model_checks(abilities.Illiterate, data=[captioned])
    assert_caught(checks, "each of its `conditions`", "another 'caption' gives the same samples")


def test_what_a_model_does_not_offer_is_no_fault() -> None:
    checks = model_checks("sound", data=["points-ring"])
    absent = [check for check in checks if check.result.status == "not offered"]
    assert {check.result.reason for check in absent} == {
        "conditions", "trajectory", "diffused", "bits_per_dim", "codec"
    }  # fmt: skip
    for check in absent:
        check()


def test_data_without_what_a_model_obeys_do_not_fit() -> None:
    checks = model_checks(abilities.Captioned, data=["digits", "points-ring"])
    reasons = {
        f"it obeys 'caption', which {name} does not have" for name in ("digits", "points-ring")
    }
    assert faults(checks) == {}
    assert reasons < skipped(checks)
    assert {c.result.status for c in checks if c.about} == {"skipped"}


def test_densities_of_reals_may_be_above_one() -> None:
    class Reals(models.Sound):
        def bits_per_dim(self, batch: Batch) -> torch.Tensor:
            return torch.full((len(batch),), -2.0)

    checks = model_checks(Reals)
    assert [each for each in faults(checks) if "points" in each] == []
    assert_caught(checks, "digits: `bits_per_dim`", "they are -2 on average")


def test_a_model_that_refuses_everything() -> None:
    """Data that do not fit are no fault: nothing was tried."""
    checks = model_checks("picky")
    why = "it needs pictures of 32×32"
    assert faults(checks) == {}
    both = f"digits: {why}; points-ring: {why}; name a data set that fits"
    assert skipped(checks) == {why, both}
    with pytest.raises(SkipTest, match="name a data set that fits"):
        testing.check_model("picky")


@pytest.mark.parametrize("model", ["sound", *SMALL])
def test_sound_models(model: str) -> None:
    checks = model_checks(model, **SMALL.get(model, {}))
    assert (faults(checks), skipped(checks)) == ({}, set())


def test_a_sound_model_of_labels() -> None:
    checks = model_checks("gan", options={"channels": 4, "conditional": True}, data=["digits"])
    assert (faults(checks), skipped(checks)) == ({}, set())


def subject(model: str, data: str) -> ModelUnderTest:
    options = SMALL.get(model, {}).get("options", {})
    return ModelUnderTest(registry.models.get(model), options, {}, open_samples(data, Path()), data)


def test_two_processes() -> None:
    """Every model that trains, in one start of two processes."""
    together = TwoProcessTrainings()
    subjects = [
        subject("ddpm", "digits"),
        subject("score-sde", "points-ring"),
        subject("gan", "digits"),
        subject("gan", "points-ring"),
    ]
    for each in subjects:
        together.add(each)
    assert [together.fault(each) for each in subjects] == [None] * 4


def test_one_fault_among_several_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes end at the first; then each is tried alone."""
    tried: list[list[str]] = []

    def train(cases: Sequence[processes.TwoProcessCase]) -> str | None:
        tried.append([case.data.spec.modality for case in cases])
        return "apart" if "points" in tried[-1] else None

    monkeypatch.setattr(processes, "train_on_two", train)
    together = TwoProcessTrainings()
    kept = Check("it stands", "", lambda: None)
    fallen = Check("it stands", "", lambda: "it fell")
    subjects = [subject("sound", data) for data in ("digits", "points-ring", "points-grid")]
    for each, need in zip(subjects, (kept, kept, fallen), strict=True):
        together.add(each, need)
    assert [together.fault(each) for each in subjects[:2]] == [None, "apart"]
    assert tried == [["image", "points"], ["image"], ["points"]]


def test_what_another_process_cannot_find_is_said() -> None:
    checks = model_checks(lambda spec: models.Sound(spec), data=["points-ring"])
    (check,) = [check for check in checks if check.promise == PROCESSES]
    with pytest.raises(SkipTest, match="another process cannot find the factory"):
        check()
    assert location_of(partial(models.sound)) is None


@pytest.mark.parametrize(
    ("dataset", "promise", "reason"),
    [
        ("unstable_id", "its id is the same", " and then digits@"),
        ("no_hash", "its id is the same", "it is digits:train"),
        ("wrong_range", "what its spec says", "they run from 0 to 240, not within 0…16"),
        ("wrong_labels", "within their range", "'label' runs from 1 to 10, not within 0…9"),
        ("one_split", "train and test differ", "898 of 898 test samples"),
        ("double_reals", "gives it back", "torch.float64 comes back as torch.float32"),
        ("unordered", "`take` depends on", "do not come in the order of the indices"),
    ],
)
def test_broken_datasets(dataset: str, promise: str, reason: str) -> None:
    assert_caught(dataset_checks(getattr(parts, dataset)), promise, reason)


@pytest.mark.parametrize("dataset", ["digits", "points-ring", "points-grid", "points-spiral"])
@pytest.mark.parametrize("split", ["", "test"])
def test_sound_datasets(dataset: str, split: str) -> None:
    checks = dataset_checks(dataset, split)
    assert (faults(checks), skipped(checks)) == ({}, set())


@pytest.mark.parametrize(
    ("extractor", "promise", "reason"),
    [
        ("TrainMode", "do not depend on the others of its batch", "'features' changes by up to"),
        ("Reversed", "rows are in the order", "'features' changes by up to"),
        ("Normalises", "leaves the samples as they were", "the tensor that it is given changes"),
        ("Integers", "features have a row a sample", "'features' is torch.uint8"),
        ("Unsaid", "its `facts`", "there are 23 for 24 samples"),
        ("Numbers", "its `facts`", "'bright' is 0.5"),
        ("Yes", "`supports` answers", "it says True"),
        ("Renamed", "its id", ", and then pixels@"),
    ],
)
def test_broken_extractors(extractor: str, promise: str, reason: str) -> None:
    assert_caught(extractor_checks(getattr(parts, extractor)), promise, reason)


def test_an_extractor_that_draws() -> None:
    """Two promises in one line of code: its features, and everybody's randomness."""
    found = faults(extractor_checks(parts.Drops))
    assert list(found) == [
        "digits: the same samples have the same features",
        "digits: it leaves the global generators of randomness alone",
    ]


def test_sound_extractors() -> None:
    for name, reasons in {"identity": 0, "digits": 1}.items():
        checks = extractor_checks(name)
        assert (faults(checks), len(skipped(checks))) == ({}, reasons)
    checks = extractor_checks("inception")
    assert faults(checks) == {}
    assert "sees RGB images with 256 levels" in " ".join(skipped(checks))


@pytest.mark.parametrize(
    ("metric", "promise", "reason"),
    [
        ("MeanOfMeans", "one batch or many", "'mean_gap' is"),
        ("WrongWay", "worse than bad ones", "for noise, though higher is better"),
        ("Mutates", "leaves the features", "'features' of generated changes"),
        ("Missing", "an Estimate of every output", "'mean_angle' is missing"),
        ("Undeclared", "it declares", "`outputs` of the factory itself is {}"),
        ("ClassWide", "keeps its state to itself", "once another instance is fed"),
        ("Subset", "the seed decides", "'mean_gap' is"),
        ("BareNumbers", "an Estimate of every output", "'mean_gap' is a float"),
    ],
)
def test_broken_metrics(metric: str, promise: str, reason: str) -> None:
    assert_caught(metric_checks(getattr(parts, metric)), promise, reason)


REFUSED = {
    "caption_agreement": {"the digits extractor gives no agreement"},
    "sound_statistics": {"the digits extractor gives no sound_statistics"},
    "spatial_frechet_distance": {"the digits extractor gives no spatial"},
    "frechet_distance_per_class": {
        "frechet_distance_per_class needs generated samples with labels; these have none"
    },
    "class_accuracy": {"class_accuracy needs generated samples with labels; these have none"},
    "text_image_similarity": {"the digits extractor gives no text_features or text_truncated"},
    "r_precision": {"the digits extractor gives no text_features or text_truncated"},
    "prompt_diversity": {
        "prompt_diversity needs generated samples with conditions; these have none"
    },
}
"""The metrics that what these checks have at hand is not enough for."""


@pytest.mark.parametrize("metric", [*filter(registry.metrics.is_ours, registry.metrics.names())])
def test_sound_metrics(metric: str) -> None:
    checks = metric_checks(metric)
    assert (faults(checks), skipped(checks)) == ({}, REFUSED.get(metric, set()))


@parametrize_with_checks(metric_checks(parts.MeanGap))
def test_as_a_plugin_author_writes_it(check: Check) -> None:
    check()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (partial(testing.check_metric, "wrong-way"), "do not score worse than bad ones: 'mean_gap"),
        (
            partial(testing.check_dataset, "wrong-range"),
            "what its spec says: they run from 0 to 240",
        ),
        (partial(testing.check_extractor, "reversed"), "in the order of the samples: with the"),
        (partial(testing.check_model, models.Greedy, data=["digits"]), "an optimiser over its own"),
    ],
)
def test_the_first_broken_promise_is_raised(call: Callable[[], None], message: str) -> None:
    with pytest.raises(CheckFailed, match=message):
        call()


def test_names_and_options_are_told_at_once() -> None:
    with pytest.raises(UnknownName, match="did you mean 'ddpm'"):
        model_checks("dppm")
    with pytest.raises(UsageError, match="has no option 'chanels'; did you mean 'channels'"):
        model_checks("ddpm", options={"chanels": 3})
    with pytest.raises(UnknownName, match="unknown dataset"):
        extractor_checks("identity", data=["digitz"])


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["check", *map(str, arguments)], catch_exceptions=False)


def test_the_command_prints_every_promise_and_what_became_of_it() -> None:
    """Two processes find the plugin in its file, and part where a submodule is called."""
    done = call("model", "behind-its-back", "--data", "digits", "--plugin", PLUGINS / "broken.py")
    assert done.exit_code == 1
    (line,) = [line for line in done.output.splitlines() if "FAILED" in line]
    assert line.startswith(f"  FAILED   {PROCESSES}: the devices' weights differ")
    assert done.output.splitlines()[-1] == "18 passed, 1 failed, 0 skipped"
    assert "\nnot offered: conditions, trajectory, diffused" in done.output


@pytest.mark.parametrize(
    ("arguments", "status", "output"),
    [
        (["metric", "modes"], 0, "9 passed, 0 failed, 0 skipped"),
        (["metric", "manifold", "--option", "neighbours=3"], 0, "9 passed"),
        (["dataset", "points-ring:test"], 0, "8 passed"),
        (["extractor", "identity", "--data", "points-grid"], 0, "points-grid\n  passed"),
        (
            ["extractor", "digits"],
            0,
            "not points samples of shape (2,) with real values\n  skipped  feat",
        ),
    ],
)
def test_the_command_judges(arguments: list[str], status: int, output: str) -> None:
    done = call(*arguments)
    assert (done.exit_code, output in done.output) == (status, True), done.output


def test_the_command_in_json() -> None:
    done = call("metric", "wrong-way", "--json")
    rows = json.loads(done.output)
    assert done.exit_code == 1
    assert rows[0] == {
        "promise": "its options are keyword-only and annotated, with valid defaults",
        "data": None,
        "status": "passed",
        "reason": None,
    }
    assert [row["status"] for row in rows].count("failed") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model", "dppm"], "unknown model 'dppm'; did you mean 'ddpm'?"),
        (["metric", "modes", "--data", "digits"], "--data is for models and extractors"),
        (["dataset", "digits", "--option", "a=1"], "a dataset has no options"),
        (["dataset", "npz:missing.npz"], "dataset 'npz:missing.npz' could not be checked"),
        (["model", "picky"], "model 'picky' could not be checked: digits: it needs pictures"),
    ],
)
def test_the_command_tells_a_mistake(arguments: list[str], message: str) -> None:
    done = call(*arguments)
    assert (done.exit_code, message in done.stderr) == (2, True), done.output
