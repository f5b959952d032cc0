"""Which samples are kept to be shown by what they were asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from genbench.api import LENGTH, Categorical, ConditionSpec, SampleSpec, TensorSamples, Text
from genbench.devices.ranks import ALONE
from genbench.evaluation import scorer
from genbench.experiment.asked import TEXTS, asked_for
from genbench.store import metadata_path


def samples_of(
    condition: Mapping[str, ConditionSpec], values: Mapping[str, list[Any]], **texts: list[str]
) -> TensorSamples:
    count = len(next(iter(values.values())))
    data = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
    given = {name: torch.tensor(value) for name, value in values.items()}
    spec = SampleSpec("image", (1, 8, 8), 256, condition)
    return TensorSamples(spec, "s@1", data.contiguous(), given, texts)


def shown(samples: TensorSamples, folder: Path) -> dict[str, int]:
    """What was asked for → the number of the sample, which is its brightness."""
    score = scorer(
        reference=samples, train=None, extractor="identity", outputs=["frechet_distance"]
    )
    path = asked_for(ALONE, score, folder, "scoring", samples)
    assert path is not None
    about = json.loads(metadata_path(path).read_text())
    assert about["facts"] == []
    numbers = load_file(path)["samples"][:, 0, 0, 0].tolist()
    return dict(zip(about["asked"], numbers, strict=True))


def test_texts_in_their_order_each_once(tmp_path: Path) -> None:
    condition = {"caption": Text(2, 9)}
    tokens = {"caption": [[2, 0], [1, 3], [2, 0], [1, 0]]}
    words = ["b", "a c", "b", "a"]
    samples = samples_of(condition, tokens, caption=words)
    assert shown(samples, tmp_path) == {"b": 0, "a c": 1, "a": 3}
    untold = samples_of(condition, tokens)
    assert shown(untold, tmp_path / "untold") == {"2": 0, "1 3": 1, "1": 3}


def test_classes_in_that_of_their_numbers(tmp_path: Path) -> None:
    condition = {"label": Categorical(20), LENGTH: Categorical(9)}
    samples = samples_of(condition, {"label": [10, 2, 10, 9], LENGTH: [8] * 4})
    assert shown(samples, tmp_path) == {"label 2": 1, "label 9": 3, "label 10": 0}


def test_no_more_than_a_page_shows(tmp_path: Path) -> None:
    samples = samples_of({"label": Categorical(99)}, {"label": [*range(50)]})
    assert len(shown(samples, tmp_path)) == TEXTS


def test_where_nothing_was_asked_for_there_is_no_file(tmp_path: Path) -> None:
    spec = SampleSpec("image", (1, 8, 8), 17)
    plain = TensorSamples(spec, "s@1", torch.zeros(9, 1, 8, 8, dtype=torch.uint8))
    score = scorer(reference=plain, train=None, extractor="identity", outputs=["frechet_distance"])
    assert asked_for(ALONE, score, tmp_path, "scoring", plain) is None
