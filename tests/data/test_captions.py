"""Folders of pictures with captions."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genbench.api import Samples, Text
from genbench.api.byte_tokens import untokenise
from genbench.api.errors import DataError, UsageError
from genbench.data import open_samples
from genbench.data.captions import LEAST_TOKENS
from genbench.io.pictures import read_ahead

CAPTIONS = {
    "a.png": "two \x00 circles",
    "b.png": "\u202eright to left 🦔🏽‍♀️",
    "deep/c.png": "<script>alert('é, \"quoted\"')</script>",
}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    for value, name in enumerate(CAPTIONS):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), value, np.uint8)).save(path)
    return folder


def opened(folder: Path) -> Samples:
    return open_samples(f"folder:{folder}", Path("unused"))


def jsonl(folder: Path, rows: Sequence[dict[str, object]]) -> Path:
    path = folder / "metadata.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def rows(captions: dict[str, str]) -> list[dict[str, object]]:
    return [{"file_name": name, "text": text, "other": 1} for name, text in captions.items()]


def table(folder: Path, captions: dict[str, str]) -> None:
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "file_name"), *((t, n) for n, t in captions.items())])


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("write", [lambda f, c: jsonl(f, rows(c)), table], ids=["jsonl", "csv"])
def test_each_picture_has_its_caption(pictures: Path, write, backwards: bool) -> None:
    """Whatever the order of the rows, and whatever the text."""
    write(pictures, dict(sorted(CAPTIONS.items(), reverse=backwards)))
    samples = opened(pictures)
    assert samples.spec.condition == {"caption": Text(LEAST_TOKENS, 257)}
    batch = samples.take(torch.tensor([2, 0, 1]))
    assert batch.data[:, 0, 0, 0].tolist() == [2, 0, 1]
    expected = [[*CAPTIONS.values()][index] for index in (2, 0, 1)]
    assert batch.texts == {"caption": expected}
    assert untokenise(batch.condition["caption"]) == expected
    assert batch.condition["caption"].shape == (3, LEAST_TOKENS)
    (ahead,) = read_ahead(samples, [torch.tensor([1])])
    assert ahead.texts == {"caption": [CAPTIONS["b.png"]]}


def test_words_become_tokens_for_a_suite_that_prompts(pictures: Path) -> None:
    jsonl(pictures, rows(CAPTIONS))
    samples = opened(pictures)
    assert untokenise(samples.tokens("caption", ["a prompt"])) == ["a prompt"]
    with pytest.raises(UsageError, match="did you mean 'caption'"):
        samples.tokens("captoin", ["a prompt"])
    with pytest.raises(UsageError, match="401 bytes, and 400 are the most"):
        samples.tokens("caption", ["a" * 401])


def test_the_longest_caption_decides_how_many_tokens_there_are(pictures: Path) -> None:
    jsonl(pictures, rows(CAPTIONS | {"a.png": "é" * 10_000}))
    samples = opened(pictures)
    assert samples.spec.condition == {"caption": Text(20_000, 257)}
    assert samples.take(torch.tensor([0])).condition["caption"].shape == (1, 20_000)


def test_captions_are_part_of_the_id(pictures: Path) -> None:
    bare = opened(pictures).id
    jsonl(pictures, rows(CAPTIONS))
    captioned = opened(pictures).id
    (pictures / "metadata.jsonl").unlink()
    table(pictures, CAPTIONS)
    assert opened(pictures).id == captioned != bare  # the contents, not the file
    table(pictures, CAPTIONS | {"a.png": "one circle"})
    assert opened(pictures).id not in (captioned, bare)
    assert captioned.startswith("folder:pictures@")


def test_metadata_without_texts_change_nothing_but_a_note(pictures: Path) -> None:
    """As those of Hugging Face's folders may have labels or boxes alone."""
    bare = opened(pictures)
    jsonl(pictures, [{"file_name": "a.png", "label": 1}])
    samples = opened(pictures)
    assert samples.id == bare.id
    assert samples.spec == bare.spec
    assert samples.notes == ("metadata.jsonl has no 'text': no captions",)
    assert bare.notes == ()


ROWS = rows(CAPTIONS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ROWS[:1], "metadata.jsonl: 2 of 3 pictures have no caption: b.png, deep/c.png"),
        (
            [*ROWS, {"file_name": "deep/d.png", "text": "x"}],
            "metadata.jsonl:4: no picture 'deep/d.png' in this folder; did you mean 'deep/c.png'?",
        ),
        ([*ROWS, ROWS[0]], "metadata.jsonl:4: 'a.png' has a caption already, in "),
        ([ROWS[0], {"file_name": "b.png", "txet": ""}], ":2: no 'text'; did you mean 'txet'?"),
        ([{"file_nam": "a.png", "text": "x"}], ":1: no 'file_name'; did you mean 'file_nam'?"),
        ([{"file_name": "a.png", "text": None}], ":1: 'text' is NoneType, not a text"),
        ([{"file_name": "a.png", "text": "\ud800"}], ":1: 'text' holds half of a surrogate pair"),
    ],
)
def test_what_does_not_fit_is_named_with_its_line(
    pictures: Path, content: list[dict[str, object]], message: str
) -> None:
    path = jsonl(pictures, content)
    with pytest.raises(DataError) as caught:
        opened(pictures)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_files_of_metadata_are_refused(pictures: Path) -> None:
    jsonl(pictures, ROWS)
    table(pictures, CAPTIONS)
    with pytest.raises(DataError, match=r"holds metadata\.jsonl and metadata\.csv; keep one"):
        opened(pictures)
