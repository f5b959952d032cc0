"""The training samples nearest to the first of an entry: found as a search tree finds them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.spatial import KDTree

from genbench import store
from genbench.api import Samples, TensorSamples
from genbench.data import open_samples
from genbench.devices.ranks import ALONE
from genbench.evaluation import Scorer, scorer
from genbench.experiment.shown import BESIDE, neighbours


@pytest.fixture(scope="module")
def digits() -> tuple[Samples, Samples]:
    return open_samples("digits:train", Path("data")), open_samples("digits:test", Path("data"))


def scoring(digits: tuple[Samples, Samples], *outputs: str) -> Scorer:
    train, test = digits
    return scorer(reference=test, train=train, extractor="identity", outputs=outputs)


def refused(*_: object) -> None:
    pytest.fail("embedded once more")


def test_they_are_the_nearest_in_the_space_of_the_extractor(
    digits: tuple[Samples, Samples], tmp_path: Path
) -> None:
    train, test = digits
    path = neighbours(ALONE, scoring(digits, "memorized"), tmp_path, "scoring", test)
    assert path is not None
    stored = load_file(path)
    shown = test.take(torch.arange(BESIDE)).data
    assert stored["samples"].equal(shown)

    # The extractor gives the levels as they are stored.
    pictures = train.take(torch.arange(len(train))).data
    distance, number = KDTree(pictures.flatten(1).numpy()).query(shown.flatten(1).numpy())
    assert stored["neighbours"].equal(pictures[torch.from_numpy(number)])
    np.testing.assert_allclose(stored["distances"].numpy(), distance, rtol=1e-6)
    metadata = store.read_metadata(store.metadata_path(path))
    assert metadata is not None
    assert (metadata["modality"], metadata["levels"]) == ("image", 17)


def test_a_copy_is_beside_what_it_copies(digits: tuple[Samples, Samples], tmp_path: Path) -> None:
    train, _ = digits
    data = train.take(torch.tensor([700, 3, 41])).data
    copies = TensorSamples(train.spec, "copies", data)
    path = neighbours(ALONE, scoring(digits, "memorized"), tmp_path, "scoring", copies)
    assert path is not None
    stored = load_file(path)
    assert stored["neighbours"].equal(data)
    assert stored["distances"].tolist() == [0, 0, 0]


def test_it_is_done_once(
    digits: tuple[Samples, Samples], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = neighbours(ALONE, scoring(digits, "memorized"), tmp_path, "a", digits[1])
    monkeypatch.setattr(Scorer, "training_features", lambda *_: pytest.fail("embedded again"))
    again = scoring(digits, "memorized")
    assert neighbours(ALONE, again, tmp_path, "a", digits[1]) == first


def test_nothing_is_embedded_for_this_alone(
    digits: tuple[Samples, Samples], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = scoring(digits, "frechet_distance")
    monkeypatch.setattr(import_module("genbench.evaluation.scorer"), "embed_once", refused)
    assert neighbours(ALONE, quiet, tmp_path, "scoring", digits[1]) is None
    assert list(tmp_path.iterdir()) == []


def test_what_was_embedded_to_score_serves(
    digits: tuple[Samples, Samples], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = scoring(digits, "memorized", "frechet_distance")
    both(digits[1])
    monkeypatch.setattr(import_module("genbench.evaluation.scorer"), "embed_once", refused)
    assert neighbours(ALONE, both, tmp_path, "scoring", digits[1]) is not None
