"""The two halves of scikit-learn's digits, checked against scikit-learn's own loader."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from genbench.api import Categorical, TensorSamples
from genbench.api.errors import DataError, UsageError
from genbench.data import digits as module
from genbench.data.digits import digits


def half(split: str) -> TensorSamples:
    samples = digits(split, Path("unused"))
    assert isinstance(samples, TensorSamples)
    return samples


def rows(images: np.ndarray, labels: np.ndarray) -> list[tuple[int, ...]]:
    table = np.concatenate([images.reshape(len(images), 64), labels[:, None]], axis=1)
    return sorted(map(tuple, table.astype(int).tolist()))


def test_the_halves_are_all_of_scikit_learns_digits():
    train, test = half("train"), half("test")
    known = load_digits()
    images = torch.cat([train.data, test.data]).numpy()
    labels = torch.cat([train.condition["label"], test.condition["label"]]).numpy()
    assert (len(train), len(test)) == (898, 899)
    assert rows(images, labels) == rows(known.images, known.target)


def test_the_halves_share_no_picture():
    # scikit-learn's digits hold no picture twice, so that disjoint halves share none.
    assert len(np.unique(load_digits().data, axis=0)) == 1797
    train, test = (set(map(tuple, half(s).data.flatten(1).tolist())) for s in ("train", "test"))
    assert not train & test


def test_spec_and_stored_view():
    samples = half("train")
    spec = samples.spec
    assert (spec.modality, spec.shape, spec.levels) == ("image", (1, 8, 8), 17)
    assert spec.condition == {"label": Categorical(10)}
    assert samples.data.dtype == torch.uint8
    assert samples.data.max() == 16
    assert samples.condition["label"].dtype == torch.int64
    assert torch.equal(spec.decode(spec.encode(samples.data)), samples.data)


def test_every_class_is_in_both_halves():
    for split in ("train", "test"):
        assert torch.bincount(half(split).condition["label"]).min() > 50


def test_ids_name_the_split_and_are_stable():
    assert half("").id == half("train").id
    assert half("train").id.startswith("digits:train@")
    assert half("train").id.partition("@")[2] != half("test").id.partition("@")[2]


def test_unknown_split():
    with pytest.raises(UsageError, match="'digits' has no split 'tset'; did you mean 'test'"):
        digits("tset", Path())


def test_scikit_learn_is_not_imported():
    code = (
        "import sys; from pathlib import Path; from genbench.data.digits import digits;"
        "digits('', Path()); sys.exit('sklearn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (None, "No such file"),
        (b"", "not scikit-learn's 1,797 digits"),
        (b"not gzip", "cannot be read"),
        (gzip.compress(b"1,2,3\n" * 100, mtime=0)[:-12], "cannot be read"),
        (gzip.compress(b"1,2,3\n", mtime=0), "not scikit-learn's 1,797 digits"),
        (gzip.compress(b"zero,one\n", mtime=0), "cannot be read"),
        (gzip.compress(b"1,2\n3\n", mtime=0), "cannot be read"),
        (gzip.compress((b"nan," * 64 + b"0\n") * 1797, mtime=0), "not scikit-learn's 1,797 digits"),
    ],
)
def test_a_damaged_installation(tmp_path, monkeypatch, content, cause):
    path = tmp_path / "digits.csv.gz"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setattr(module, "installed_path", lambda: path)
    with pytest.raises(DataError, match=cause) as caught:
        digits("", Path())
    assert str(path) in str(caught.value)


def test_a_missing_installation(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install scikit-learn"):
        digits("", Path())
