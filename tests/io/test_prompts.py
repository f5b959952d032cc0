"""Files of prompts: the published formats, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from genbench.api.errors import DataError, UsageError
from genbench.io.prompts import read_prompts

PARTI = (
    "Prompt\tCategory\tChallenge\tNote\n"
    "bond\tAbstract\tBasic\tBiology-inspired concepts with multiple meanings\n"
    'A robot painted as graffiti on a brick wall. The words "Fly an airplane" are written on the '
    "wall.\tOutdoor Scenes\tComplex\t\n"
    '"G I G G L E" painted in thick colorful lettering\tIllustrations\tWriting & Symbols\t\n'
)
PARTI_PROMPTS = [
    "bond",
    'A robot painted as graffiti on a brick wall. The words "Fly an airplane" are written on the '
    "wall.",
    '"G I G G L E" painted in thick colorful lettering',
]
GENEVAL = (
    '{"tag": "single_object", "include": [{"class": "bench", "count": 1}], '
    '"prompt": "a photo of a bench"}\n'
    '{"tag": "single_object", "include": [{"class": "cow", "count": 1}], '
    '"prompt": "a photo of a cow"}\n'
)
COCO: dict[str, Any] = {
    "info": {"year": 2014},
    "images": [{"id": 9, "file_name": "9.jpg"}, {"id": 4, "file_name": "4.jpg"}],
    "annotations": [
        {"image_id": 9, "id": 50, "caption": "nine, second"},
        {"image_id": 4, "id": 60, "caption": "four, first"},
        {"image_id": 9, "id": 7, "caption": "nine, first"},
        {"image_id": 4, "id": 61, "caption": "four, second"},
    ],
}


def written(tmp_path: Path, name: str, content: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", "one\r\n two \r\n\u2028three\n", ["one", " two ", "\u2028three"]),
        ("a.txt", "no end of line", ["no end of line"]),
        ("PartiPrompts.tsv", PARTI, PARTI_PROMPTS),
        ("a.csv", 'id,caption\n1,"a cat, a dog"\n2,b\n', ["a cat, a dog", "b"]),
        ("a.CSV", "text\na\n", ["a"]),
        ("evaluation_metadata.jsonl", GENEVAL, ["a photo of a bench", "a photo of a cow"]),
        ("a.json", json.dumps(COCO), ["four, first", "nine, first"]),
    ],
)
def test_published_formats(tmp_path: Path, name: str, content: str, expected: list[str]) -> None:
    assert read_prompts(written(tmp_path, name, content)) == expected


def test_one_caption_a_picture_of_coco_or_all(tmp_path: Path) -> None:
    path = written(tmp_path, "captions_val2014.json", json.dumps(COCO))
    assert read_prompts(path, "first") == ["four, first", "nine, first"]
    assert read_prompts(path, "all") == [
        "four, first",
        "four, second",
        "nine, first",
        "nine, second",
    ]


def coco(**changed: Any) -> str:
    first = {**COCO["annotations"][0], **changed}
    kept = {name: value for name, value in first.items() if value is not ...}
    return json.dumps({"annotations": [*COCO["annotations"][1:], kept]})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "", ": the file is empty"),
        ("a.txt", "one\n\ntwo\n", ":2: the prompt is empty"),
        ("a.txt", "\n", ":1: the prompt is empty"),
        ("a.txt", b"one\n\xff\n", ":2: not UTF-8"),
        ("a.csv", "prompts,id\na,1\n", ":2: the prompts are in one column or key, and it has none"),
        ("a.csv", "prompt,text\na,b\n", ":2: the prompts are in one column or key, and it has 'pr"),
        ("a.tsv", "Prompt\tNote\n\tx\n", ":2: 'Prompt' is empty"),
        ("a.jsonl", '{"prompt": "a"}\n{"promt": "b"}\n', ":2: no 'prompt'; did you mean 'promt'?"),
        ("a.jsonl", '{"prompt": 3}\n', ":1: 'prompt' is int, not a text"),
        ("a.json", "[]", ": a .json of prompts is one of COCO's captions, with 'annotations'"),
        ("a.json", '{"annotations": []}', ": it has no captions"),
        ("a.json", '{"annotations": [3]}', ": annotation 0 is not an object"),
        ("a.json", coco(image_id="9"), ": annotation 3: 'image_id' is not a whole number"),
        ("a.json", coco(id=..., idd=1), ": annotation 3: 'id' is not a whole number; did you"),
        ("a.json", coco(id=61), ": annotation 3: id 61 is that of another, too"),
        ("a.json", coco(caption=" "), ": annotation 3: 'caption' is empty"),
        ("a.json", "{", ": not JSON"),
    ],
)
def test_what_is_not_of_the_format_is_named(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    path = written(tmp_path, name, content)
    with pytest.raises(DataError) as caught:
        read_prompts(path)
    assert str(caught.value).startswith(f"{path}{message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["prompts", "prompts.md", "prompts.parquet"])
def test_another_format_is_refused(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, name, "one\n")
    with pytest.raises(UsageError) as caught:
        read_prompts(path)
    assert str(caught.value) == f"{path}: prompts are read from .txt, .csv, .tsv, .jsonl, .json"


def test_which_captions_is_asked_of_coco_alone(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"captions = 'all' is for the \.json files of COCO"):
        read_prompts(written(tmp_path, "a.txt", "one\n"), "all")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.txt: No such file or directory"):
        read_prompts(tmp_path / "none.txt")
