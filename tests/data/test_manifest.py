"""Folders of samples from systems that cannot be run here."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch
from click.testing import CliRunner
from PIL import Image

from genbench.api.errors import UsageError
from genbench.cli import main
from genbench.data import open_samples

PROMPTS = {"a.png": "a cat", "b.png": "a \u202e dog 🐕", "deep/c.png": "a cat"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "imported"
    for value, name in enumerate(PROMPTS):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), value, np.uint8)).save(path)
    return root


def manifest(folder: Path, **changed: Any) -> dict[str, Any]:
    """That of the folder; ``changed``: keys, of which ``...`` leaves one out."""
    files = [
        {
            "name": name,
            "prompt": prompt,
            "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
        }
        for name, prompt in PROMPTS.items()
    ]
    whole = {"system": "DALL·E 3", "version": "v", "date": "2024-05-13", "files": files, **changed}
    return {key: value for key, value in whole.items() if value is not ...}


def written(folder: Path, content: Any) -> Path:
    path = folder / "manifest.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def opened(folder: Path) -> Any:
    return open_samples(f"folder:{folder}", Path("unused"))


def refusal(folder: Path) -> str:
    with pytest.raises(UsageError) as caught:
        opened(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_prompts_are_captions_and_the_origin_is_known(folder: Path) -> None:
    bare = opened(folder)
    content = manifest(folder)
    content["files"][0] |= {"revised_prompt": "A photorealistic cat", "seed": 7}
    content["files"].reverse()
    written(folder, content)
    samples = opened(folder)
    assert samples.provenance == {"system": "DALL·E 3", "version": "v", "date": "2024-05-13"}
    assert samples.notes == ("samples of DALL·E 3, v, 2024-05-13",)
    batch = samples.take(torch.arange(3))
    assert batch.texts == {"caption": [*PROMPTS.values()]}
    assert torch.equal(batch.data, bare.take(torch.arange(3)).data)
    assert samples.id.startswith("folder:imported@")
    assert samples.id != bare.id


def test_toml_says_the_same(folder: Path) -> None:
    path = written(folder, manifest(folder))
    as_json = opened(folder).id
    path.unlink()
    text = tomli_w.dumps(manifest(folder)).replace('"2024-05-13"', "2024-05-13")  # TOML's date
    (folder / "manifest.toml").write_text(text, encoding="utf-8")
    assert opened(folder).id == as_json


@pytest.mark.parametrize(
    "changed", [{"version": "w"}, {"date": "2024-05-14"}, {"system": "Midjourney"}]
)
def test_what_is_known_is_in_the_id(folder: Path, changed: dict[str, str]) -> None:
    written(folder, manifest(folder))
    before = opened(folder).id
    written(folder, manifest(folder, **changed))
    assert opened(folder).id != before


def test_files_that_differ_are_named(folder: Path) -> None:
    path = written(folder, manifest(folder))
    for name in ("b.png", "deep/c.png"):
        Image.fromarray(np.full((4, 4), 9, np.uint8)).save(folder / name)
    assert refusal(folder) == (
        f"{path}: 2 of 3 pictures are not those that it names, their SHA-256 differs: "
        "b.png, deep/c.png"
    )


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: c | {"sytem": c.pop("system")}, "unknown key 'sytem'; did you mean 'system'?"),
        (lambda c: c | {"date": "May 2024"}, "date: should be a date such as 2024-05-13, got 'May"),
        (lambda c: c | {"version": " "}, "version: should not be empty"),
        (lambda c: c | {"files": []}, "files: tuple should have at least 1 item"),
        (lambda c: c | {"files": c["files"][:2]}, "1 of 3 pictures have no caption: deep/c.png"),
        (lambda c: c | {"files": c["files"] + c["files"][:1]}, "'a.png' is listed twice"),
        (
            lambda c: c["files"][0].update(name="aa.png"),
            "no picture 'aa.png' here; did you mean 'a",
        ),
        (
            lambda c: c["files"][0].update(sha256="12"),
            "files.0.sha256: string should match pattern",
        ),
        (lambda c: c["files"][0].update(seed="7"), "files.0.seed: input should be a valid integer"),
        (lambda c: c["files"][0].pop("prompt"), "the key 'files.0.prompt' is missing"),
        (lambda c: c["files"][0].update(prompt="\0"), "a text holds the character NUL"),
    ],
)
def test_mistakes_are_named(folder: Path, edit: Any, message: str) -> None:
    content = manifest(folder)
    edited = edit(content)
    path = written(folder, edited if "files" in (edited or {}) else content)
    assert refusal(folder).startswith(f"{path}: ")
    assert message in refusal(folder)


def test_what_is_no_manifest_of_ours_changes_nothing_but_a_note(folder: Path) -> None:
    """As the manifest.json of a web page."""
    before = opened(folder)
    written(folder, {"short_name": "x", "icons": []})
    assert opened(folder).id == before.id
    assert opened(folder).notes == ("manifest.json is no manifest of samples: not read",)
    (folder / "manifest.json").write_text("{", encoding="utf-8")
    assert "manifest.json: not JSON" in refusal(folder)


def test_one_source_of_captions(folder: Path) -> None:
    written(folder, manifest(folder))
    rows = [{"file_name": name, "text": text} for name, text in PROMPTS.items()]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "metadata.jsonl").write_text(text, encoding="utf-8")
    assert "has metadata and a manifest of imported samples; keep one" in refusal(folder)
    (folder / "manifest.toml").write_text("", encoding="utf-8")
    assert "holds manifest.json and manifest.toml; keep one of them" in refusal(folder)


def test_a_folder_is_evaluated_with_its_origin(folder: Path, tmp_path: Path) -> None:
    reference = tmp_path / "reference"
    reference.mkdir()
    for value in range(3):
        Image.fromarray(np.full((4, 4), 40 * value, np.uint8)).save(reference / f"{value}.png")
    written(folder, manifest(folder))
    command = ["evaluate", str(folder), "--against", str(reference), "--extractor", "identity"]
    done = CliRunner().invoke(main, [*command, "--metrics", "energy_distance"])
    assert done.exit_code == 0, done.output
    assert "folder:imported: samples of DALL·E 3, v, 2024-05-13" in done.output
    Image.fromarray(np.full((4, 4), 9, np.uint8)).save(folder / "a.png")
    done = CliRunner().invoke(main, [*command, "--metrics", "energy_distance"])
    assert done.exit_code == 2
    assert "their SHA-256 differs: a.png" in done.stderr
