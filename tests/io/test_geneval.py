"""GenEval's results are counted as its own summary counts them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from genbench.api.errors import GenbenchError
from genbench.io.geneval import OWN_PROMPTS, TASKS, read_results

JUDGED = {
    "single_object": "11",
    "two_object": "1000",
    "counting": "0",
    "colors": "101",
    "position": "00",
    "color_attr": "01",
}
"""By task, whether each image is correct. The shares are 1, 1/4, 0, 2/3, 0 and 1/2."""


def lines() -> list[dict[str, object]]:
    """As evaluate_images.py writes them."""
    return [
        {
            "filename": f"images/{task}/samples/{number:04}.png",
            "tag": task,
            "prompt": f"a photo of {task}",
            "correct": correct == "1",
            "reason": "" if correct == "1" else "expected bench>=1, found 0",
            "metadata": json.dumps({"tag": task, "prompt": f"a photo of {task}"}),
            "details": "{}",
        }
        for task, judged in JUDGED.items()
        for number, correct in enumerate(judged)
    ]


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_overall_score_is_the_mean_of_the_tasks(tmp_path: Path) -> None:
    found = read_results(write(tmp_path / "results.jsonl", lines()))
    assert {tag: (task.correct, task.images) for tag, task in found.tasks.items()} == {
        "single_object": (2, 2),
        "two_object": (1, 4),
        "counting": (0, 1),
        "colors": (2, 3),
        "position": (0, 2),
        "color_attr": (1, 2),
    }
    assert [task.share for task in found.tasks.values()] == [1, 0.25, 0, 2 / 3, 0, 0.5]
    # 29/72; of the 14 images 6 are correct, which is another number.
    assert found.overall == pytest.approx(29 / 72)
    assert (found.images, found.prompts) == (14, "6 others")


def test_tasks_in_another_order_give_the_same_scores(tmp_path: Path) -> None:
    first = read_results(write(tmp_path / "a.jsonl", lines()))
    assert read_results(write(tmp_path / "b.jsonl", lines()[::-1])) == first


def test_the_same_prompts_are_others_by_a_letter(tmp_path: Path) -> None:
    rows = [{**row, "prompt": f"{row['prompt']}{number}"} for number, row in enumerate(lines())]
    found = read_results(write(tmp_path / "results.jsonl", rows))
    assert found.prompts == "14 others" != OWN_PROMPTS


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tag": "color"}, "results.jsonl:3: no task 'color'; did you mean 'colors'?"),
        ({"tag": None}, "results.jsonl:3: 'tag' is NoneType, not a text"),
        ({"correct": 1}, "results.jsonl:3: 'correct' is neither true nor false"),
        ({"prompt": ""}, "results.jsonl:3: 'prompt' is empty"),
        (
            {"filename": "images/single_object/samples/0001.png"},
            "results.jsonl:3: the image 'images/single_object/samples/0001.png' is at ",
        ),
    ],
)
def test_a_bad_line_is_named(change: dict[str, object], said: str, tmp_path: Path) -> None:
    rows = lines()
    rows[2] |= change
    with pytest.raises(GenbenchError) as caught:
        read_results(write(tmp_path / "results.jsonl", rows))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["filename", "tag", "prompt", "correct"])
def test_a_key_that_is_not_there_has_a_near_one(key: str, tmp_path: Path) -> None:
    rows = lines()
    rows[0][f"{key}s"] = rows[0].pop(key)
    with pytest.raises(GenbenchError, match=rf"results\.jsonl:1: .*{key}.*did you mean '{key}s'"):
        read_results(write(tmp_path / "results.jsonl", rows))


@pytest.mark.parametrize("task", TASKS)
def test_a_task_without_images_has_no_overall_score(task: str, tmp_path: Path) -> None:
    rows = [row for row in lines() if row["tag"] != task]
    with pytest.raises(GenbenchError, match=rf"results\.jsonl: no images of {task};"):
        read_results(write(tmp_path / "results.jsonl", rows))


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GenbenchError, match=r"\.jsonl"):
        read_results(tmp_path / "results.csv")
    (tmp_path / "results.jsonl").write_text('{"tag": \n', encoding="utf-8")
    with pytest.raises(GenbenchError, match=r"results\.jsonl:1: not JSON"):
        read_results(tmp_path / "results.jsonl")
