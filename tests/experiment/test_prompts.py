"""Prompts from files, in suites."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from genbench.api import Categorical, SampleSpec, Text, Vector
from genbench.api.errors import DataError, UsageError
from genbench.cli import main
from genbench.data import open_samples
from genbench.data.files import read_file
from genbench.data.shapes.captions import untokenise
from genbench.devices.hardware import Hardware
from genbench.experiment import prompted
from genbench.experiment.conditions import given_prompts
from genbench.experiment.context import prompts_inputs, reopen_data
from genbench.store import fingerprint
from genbench.store.records import Record, read_records
from genbench.suite import Prompts, Suite

WAVES = Path(__file__).parents[1] / "plugins" / "waves.py"
SUITE = """
dataset = "waves"
seeds = [0]
examples = 64
samples = 6

[score]
extractor = "spectrum"
reference = "waves:test"
metrics = ["frechet_distance"]
snapshots = { count = 1, samples = 6, metrics = [] }

[prompts]
"""
ENTRIES = '\n[entries.Singer]\nmodel = "singer"\n'
MANY = SampleSpec(
    "image",
    (1, 4, 4),
    condition={"caption": Text(9, 257), "label": Categorical(10), "pose": Vector(2)},
)
ASKED = ["low soft", "high loud", "high soft"]


@pytest.fixture(autouse=True)
def read_again() -> None:
    reopen_data()


def lines(path: Path, *prompts: str) -> Path:
    path.write_text("".join(f"{prompt}\n" for prompt in prompts), encoding="utf-8")
    return path


def asked(path: Path, dataset: str = "shapes:held-out", **options: Any) -> Any:
    hardware = Hardware(path.parent, "cpu")
    data = open_samples(dataset, path.parent)
    return prompted(Prompts(file=str(path), **options), data, hardware)


def test_the_texts_of_a_file_become_tokens_of_the_data(tmp_path: Path) -> None:
    captions = ["two red circles", "a square above a blue cross"]
    rows = asked(lines(tmp_path / "a.txt", *captions))
    assert rows.texts == {"caption": captions}
    assert untokenise(rows.condition["caption"]) == captions
    assert len(rows) == 2
    named = asked(tmp_path / "a.txt", condition="caption")
    assert torch.equal(named.condition["caption"], rows.condition["caption"])


@pytest.mark.parametrize(
    ("dataset", "options", "message"),
    [
        ("digits", {}, "a.txt holds texts, and digits:train@"),
        ("digits", {"condition": "label"}, "a.txt holds texts, and 'label' of digits:train@"),
        ("shapes:test", {"condition": "captoin"}, "no condition 'captoin'; did you mean 'caption'"),
        ("shapes:test", {}, "caption 'a crimson disc': 'crimson' does not fit"),
        ("shapes:test", {"captions": "all"}, "captions = 'all' is for the .json files of COCO"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    tmp_path: Path, dataset: str, options: dict[str, str], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        asked(lines(tmp_path / "a.txt", "a crimson disc"), dataset, **options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_contents_of_a_file_are_in_the_identity(tmp_path: Path) -> None:
    """Not its path, nor its format."""
    hardware = Hardware(tmp_path, "cpu")

    def said(path: Path, **options: Any) -> Any:
        return prompts_inputs(Prompts(file=str(path), **options), hardware)

    one = said(lines(tmp_path / "a.txt", "one", "two"))
    assert one == {"conditions": [], "file": fingerprint(("one", "two")), "each": 1}
    table = tmp_path / "b.csv"
    table.write_text("id,prompt\n1,one\n2,two\n", encoding="utf-8")
    assert said(table) == one
    assert said(lines(tmp_path / "c.txt", "two", "one")) != one
    assert said(tmp_path / "a.txt", each=2) != one
    assert said(tmp_path / "a.txt", condition="caption") != one


def test_the_choice_of_captions_is_in_the_identity(tmp_path: Path) -> None:
    path, hardware = tmp_path / "coco.json", Hardware(tmp_path, "cpu")
    annotations = [{"image_id": i // 2, "id": i, "caption": f"caption {i}"} for i in range(4)]
    path.write_text(json.dumps({"annotations": annotations}), encoding="utf-8")
    first, all_, usual = (
        prompts_inputs(Prompts(file=str(path), captions=choice), hardware)
        for choice in ("first", "all", None)
    )
    assert first == usual != all_


def test_a_suite_with_a_file_is_written_and_read_again(tmp_path: Path) -> None:
    """Whether or not the file is there: finished runs are loaded without it."""
    path = tmp_path / "s.toml"
    path.write_text(f'{SUITE}file = "gone.txt"\ncaptions = "all"\n{ENTRIES}', encoding="utf-8")
    suite = Suite.from_toml(path)
    assert suite.prompts == Prompts(file="gone.txt", captions="all")
    path.write_text(suite.to_toml(), encoding="utf-8")
    assert Suite.from_toml(path) == suite


@pytest.mark.parametrize(
    ("obeyed", "conditions", "values"),
    [
        ({"caption"}, [{"caption": "3"}, {"caption": "a cat"}], ["3", "a cat"]),
        ({"caption", "label"}, [{"caption": "3"}], ["3"]),
        ({"label"}, [{"label": 3}, {"label": 4}], ["3", 4]),
        ({"pose"}, [{"pose": [0.5, 1]}], ["[0.5, 1]"]),
    ],
)
def test_prompts_are_for_the_one_condition_that_is_obeyed(
    obeyed: set[str], conditions: list[dict[str, Any]], values: list[Any]
) -> None:
    """Or for the one text among several."""
    model: Any = SimpleNamespace(conditions=obeyed)
    found = given_prompts(values, 2, model, MANY)
    assert found == Prompts(conditions=tuple(conditions), each=2)


def test_of_several_conditions_none_is_guessed() -> None:
    model: Any = SimpleNamespace(conditions={"pose", "label"})
    with pytest.raises(UsageError, match="the model obeys label and pose; prompts are for one"):
        given_prompts(["3"], 1, model, MANY)


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(
        main, [*map(str, arguments), "--plugin", str(WAVES)], catch_exceptions=False
    )


def ran(folder: Path, prompts: str) -> tuple[Record, Path]:
    (folder / "s.toml").write_text(f"{SUITE}{prompts}\neach = 2\n{ENTRIES}", encoding="utf-8")
    done = call("run", folder / "s.toml", "--jobs", "1", "--out", folder / "out")
    assert done.exit_code == 0, done.output
    (record,) = [r for r in read_records(folder / "out") if r.seed is not None]
    return record, folder / "out"


@pytest.fixture(scope="module")
def of_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Record, Path]:
    folder = tmp_path_factory.mktemp("file")
    return ran(folder, f'file = "{lines(folder / "asked.txt", *ASKED)}"')


def test_a_run_asks_for_each_prompt_in_order(of_file: tuple[Record, Path]) -> None:
    record, out = of_file
    samples = read_file(out / record.files["samples"])
    assert samples.texts["caption"] == [text for text in ASKED for _ in range(2)]
    assert record.conditions["prompts"]["file"].endswith("asked.txt")
    assert record.protocol["prompts"]


def test_prompts_from_a_file_give_the_samples_of_prompts_in_the_suite(
    of_file: tuple[Record, Path], tmp_path: Path
) -> None:
    conditions = ", ".join(f'{{ caption = "{text}" }}' for text in ASKED)
    record, out = ran(tmp_path, f"conditions = [{conditions}]")
    ours, theirs = (read_file(o / r.files["samples"]) for r, o in (of_file, (record, out)))
    assert torch.equal(ours.data, theirs.data)
    # As it was before there were files: the identities of such suites are the same.
    expected = {"conditions": [{"caption": text} for text in ASKED], "each": 2}
    assert record.conditions["prompts"] == expected
    assert record.protocol["prompts"] == fingerprint(expected)


def test_a_row_is_reproduced_from_its_file(of_file: tuple[Record, Path], tmp_path: Path) -> None:
    _, out = of_file
    again = call("reproduce", f"{out}:Singer", "--jobs", "1", "--out", tmp_path / "again")
    assert again.exit_code == 0, again.output
    assert "1 of 1 seeds" in again.output
    os.rename(out.parent / "asked.txt", out.parent / "moved.txt")
    try:
        gone = call("reproduce", f"{out}:Singer", "--jobs", "1", "--out", tmp_path / "again")
        lines(out.parent / "asked.txt", *ASKED, "low loud")
        changed = call("reproduce", f"{out}:Singer", "--jobs", "1", "--out", tmp_path / "again")
    finally:
        os.replace(out.parent / "moved.txt", out.parent / "asked.txt")
    assert gone.exit_code == changed.exit_code == 2
    assert "asked.txt: No such file or directory" in gone.output
    assert "the scoring protocol cannot be reproduced: prompts: " in changed.output


@pytest.mark.parametrize("command", [[], ["--dry-run"]], ids=["run", "dry run"])
def test_samples_are_as_many_as_the_prompts_ask_for(tmp_path: Path, command: list[str]) -> None:
    path = lines(tmp_path / "a.txt", *ASKED, "low loud")
    text = f'{SUITE}file = "{path}"\neach = 2\n{ENTRIES}'
    (tmp_path / "s.toml").write_text(text, encoding="utf-8")
    done = call("run", tmp_path / "s.toml", "--out", tmp_path / "out", *command)
    assert done.exit_code == 2
    assert "samples is 6; the prompts ask for 8" in done.output
    assert not (tmp_path / "out" / "runs").exists()


def test_a_file_that_is_not_there_ends_the_run_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(f'{SUITE}file = "none.txt"\n{ENTRIES}', encoding="utf-8")
    done = call("run", tmp_path / "s.toml", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "none.txt: No such file or directory" in done.output
    with pytest.raises(DataError):
        asked(tmp_path / "none.txt")
