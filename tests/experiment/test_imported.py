"""Rows of samples that were made elsewhere, beside those of a model that is trained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import genbench
from genbench.api.byte_tokens import untokenise
from genbench.api.errors import UsageError
from genbench.cli import main
from genbench.data.files import read_file
from genbench.store.records import Record, read_records

TEXTS = ["a cat", "a dog", "a cow"]


def pictures(folder: Path, levels: Sequence[int]) -> list[str]:
    folder.mkdir(parents=True)
    names = [f"{number:03}.png" for number in range(len(levels))]
    for name, level in zip(names, levels, strict=True):
        noise = np.random.default_rng(level).integers(0, 9, (8, 8), dtype=np.uint8)
        Image.fromarray(noise + np.uint8(level)).save(folder / name)
    return names


def captioned(folder: Path, count: int) -> Path:
    """Pictures whose level is that of their text."""
    texts = [TEXTS[number % 3] for number in range(count)]
    names = pictures(folder, [50 * (number % 3) + number % 7 for number in range(count)])
    rows = [{"file_name": n, "text": text} for n, text in zip(names, texts, strict=True)]
    (folder / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return folder


def imported(folder: Path, texts: Sequence[str]) -> Path:
    """Picture k has the level k."""
    names = pictures(folder, range(100, 100 + len(texts)))
    files = [
        {
            "name": name,
            "prompt": text,
            "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
        }
        for name, text in zip(names, texts, strict=True)
    ]
    content = {"system": "DALL·E 3", "version": "v1", "date": "2024-05-13", "files": files}
    (folder / "manifest.json").write_text(json.dumps(content))
    return folder


def suite(folder: Path, path: Path, prompts: str = "", seeds: str = "[0]") -> Path:
    text = f"""
dataset = "folder:{folder / "train"}"
seeds = {seeds}
examples = 64
samples = 6
train = {{ batch = 32 }}

[score]
extractor = "identity"
reference = "folder:{folder / "test"}"
metrics = ["frechet_distance", "coverage"]
snapshots = {{ count = 1, samples = 6 }}

{prompts}

[entries."DALL·E"]
model = "samples"
options = {{ path = "{path}" }}
note = "Bought."

[entries.VAE]
model = "vae"
options = {{ channels = 4 }}
"""
    written = folder / "suite.toml"
    written.write_text(text, encoding="utf-8")
    return written


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)], catch_exceptions=False)


PROMPTS = """
[prompts]
conditions = [{ caption = "a cow" }, { caption = "a cat" }, { caption = "a dog" }]
each = 2
"""
MADE = ["a cat", "a dog", "a cow", "a cow", "a dog", "a cat", "a cat", "a bird"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    captioned(folder / "train", 24)
    captioned(folder / "test", 24)
    imported(folder / "made", MADE)
    return folder


@pytest.fixture(scope="module")
def out(data: Path) -> Path:
    """Of a suite with two seeds, and pictures for one."""
    written = suite(data, data / "made", PROMPTS, "[0, 1]")
    done = call("run", written, "--jobs", "1", "--out", data / "out")
    assert done.exit_code == 0, done.output
    return data / "out"


@pytest.fixture(scope="module")
def rows(out: Path) -> dict[tuple[str, int | None], Record]:
    return {(record.entry, record.seed): record for record in read_records(out)}


def levels(samples: Any) -> list[int]:
    """Which pictures these are, by the noise in each."""
    found = []
    for picture in samples.data[:, 0].numpy():
        fits = (
            level
            for level in range(100, 120)
            if np.array_equal(
                np.random.default_rng(level).integers(0, 9, (8, 8), dtype=np.uint8)
                + np.uint8(level),
                picture,
            )
        )
        found.append(next(fits) - 100)
    return found


def test_the_samples_are_those_of_the_prompts_in_order(
    out: Path, rows: dict[tuple[str, int | None], Record]
) -> None:
    record = rows["DALL·E", 0]
    assert record.status == "done", record.reason
    samples = read_file(out / record.files["samples"])
    assert levels(samples) == [2, 3, 0, 5, 1, 4]
    assert samples.texts["caption"] == ["a cow"] * 2 + ["a cat"] * 2 + ["a dog"] * 2
    assert untokenise(samples.condition["caption"]) == samples.texts["caption"]


def test_the_record_says_what_is_known_and_no_cost(
    rows: dict[tuple[str, int | None], Record],
) -> None:
    record = rows["DALL·E", 0]
    origin = {"system": "DALL·E 3", "version": "v1", "date": "2024-05-13"}
    assert record.conditions["imported"] == origin
    assert record.conditions["obeys"] == ["caption"]
    assert record.conditions["examples"] == 0
    assert set(record.cost.values()) == {None}
    assert record.snapshots == []
    assert record.protocol == rows["VAE", 0].protocol
    assert "imported" not in rows["VAE", 0].conditions
    assert rows["VAE", 0].cost["seconds_per_sample"] is not None


def test_a_seed_without_pictures_of_its_own_is_skipped(
    rows: dict[tuple[str, int | None], Record],
) -> None:
    record = rows["DALL·E", 1]
    assert record.status == "skipped"
    assert record.reason is not None
    said = "has 2 pictures of 'a cow'; seed 1 takes 2, after those of the seeds below 1"
    assert said in record.reason
    assert rows["VAE", 1].status == "done"


def test_tables_say_that_the_row_cannot_be_rerun(out: Path) -> None:
    table = call("table", out, "--format", "markdown").output
    said = "cannot be rerun: its samples are those of DALL·E 3 (v1), made on 2024-05-13."
    assert f"- DALL·E {said}\n" in table
    assert "Nothing was trained" not in table
    assert "DALL·E (" not in table  # one row for all seeds
    assert "DALL·E: Bought." in table
    assert said in (out / "report.html").read_text(encoding="utf-8")


def test_reproduce_refuses_with_the_reason(out: Path, tmp_path: Path) -> None:
    done = call("reproduce", f"{out}:DALL·E", "--out", tmp_path / "again")
    assert done.exit_code == 2
    assert done.stderr == (
        "genbench: DALL·E cannot be rerun: its samples are those of DALL·E 3 (v1), made on "
        "2024-05-13\n"
    )
    assert not (tmp_path / "again").exists()


def test_again_computes_nothing_for_what_is_done(
    data: Path, out: Path, rows: dict[tuple[str, int | None], Record]
) -> None:
    written = suite(data, data / "made", PROMPTS, "[0, 1]")
    done = call("run", written, "--jobs", "1", "--out", out)
    assert done.exit_code == 0, done.output
    assert {(r.entry, r.seed): r for r in read_records(out)} == rows


def test_a_dry_run_says_no_cost(data: Path, tmp_path: Path) -> None:
    written = suite(data, data / "made", PROMPTS)
    done = call("run", written, "--dry-run", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "cost unknown" not in done.output
    (line,) = [line for line in done.output.splitlines() if "sample DALL·E" in line]
    assert line.count("—") >= 3


def test_without_prompts_each_seed_takes_the_next_pictures(data: Path, tmp_path: Path) -> None:
    made = imported(tmp_path / "made", MADE + ["a bird"] * 4)
    written = suite(data, made, seeds="[0, 1]")
    run = genbench.run(written, tmp_path / "out", jobs=1, progress=False)
    found = [record for record in run.records if record.entry == "DALL·E"]
    assert [record.status for record in found] == ["done", "done"]
    taken = [levels(read_file(tmp_path / "out" / record.files["samples"])) for record in found]
    assert taken == [[*range(6)], [*range(6, 12)]]
    assert found[0].conditions["obeys"] == []


@pytest.mark.parametrize(
    ("texts", "prompts", "message"),
    [
        (MADE[:5], "", "has 5 pictures; seed 0 takes 6"),
        (MADE[1:5] + ["a cot"] * 2, PROMPTS, "has no picture of 'a cat'; did you mean 'a cot'?"),
        (MADE[1:6], PROMPTS, "has 1 pictures of 'a cat'; seed 0 takes 2"),
    ],
)
def test_what_does_not_fit_ends_the_run_in_one_line(
    data: Path, tmp_path: Path, texts: list[str], prompts: str, message: str
) -> None:
    written = suite(data, imported(tmp_path / "made", texts), prompts)
    for more in ([], ["--dry-run"]):
        done = call("run", written, "--out", tmp_path / "out", *more)
        assert done.exit_code == 2, done.output
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
        assert not (tmp_path / "out" / "runs").exists()


def test_a_picture_that_was_changed_is_named(data: Path, tmp_path: Path) -> None:
    made = imported(tmp_path / "made", MADE)
    (made / "003.png").write_bytes((made / "002.png").read_bytes())
    done = call("run", suite(data, made, PROMPTS), "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "their SHA-256 differs: 003.png" in done.stderr


@pytest.mark.parametrize("what", ["folder", "manifest"])
def test_a_folder_without_a_manifest_is_refused(data: Path, tmp_path: Path, what: str) -> None:
    made = tmp_path / "made"
    if what == "manifest":
        pictures(made, range(3))
    done = call("run", suite(data, made), "--out", tmp_path / "out")
    assert done.exit_code == 2
    said = {"folder": "no folder ", "manifest": "has neither manifest.json nor manifest.toml"}
    assert said[what] in done.stderr


def test_another_manifest_is_another_row(data: Path, tmp_path: Path) -> None:
    """The option names the manifest, and so every picture."""
    made = imported(tmp_path / "made", MADE)
    first = genbench.registry.check_options(
        "x", genbench.registry.models.get("samples"), {"path": str(made)}
    )
    text = (made / "manifest.json").read_text(encoding="utf-8")
    (made / "manifest.json").write_text(text.replace("v1", "v2"), encoding="utf-8")
    assert first["path"].startswith(f"{made}@")
    with pytest.raises(UsageError, match="is another than in "):
        genbench.registry.check_options("x", genbench.registry.models.get("samples"), first)
