"""The rows of training samples with texts that are not theirs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import genbench
from genbench.api import Batch, SampleSpec, TensorSamples, Text
from genbench.api.errors import UsageError
from genbench.data import open_samples
from genbench.devices.hardware import Hardware
from genbench.experiment import RunContext
from genbench.experiment.controls import controls, nearest_texts, random_samples
from genbench.store.records import Record

RANDOM, NEAREST = "control: random training sample", "control: nearest training text"
COUNT = 40
METRICS = ["frechet_distance", "correct", "count_correct", "memorized"]


def suite(**others: object) -> genbench.Suite:
    content = {
        "name": "texts",
        "dataset": "shapes:held-out",
        "seeds": [0],
        "examples": 64,
        "samples": COUNT,
        "prompts": {"dataset": "shapes:held-out", "count": COUNT},
        "score": {
            "extractor": "shapes",
            "reference": "shapes:held-out",
            "metrics": METRICS,
            "snapshots": {"count": 1, "samples": 64, "metrics": []},
        },
        "train": {"batch": 16},
        "entries": {
            "GAN": {
                "model": "df-gan",
                "options": {"channels": 2, "latent": 4, "text_width": 4, "text_layers": 0},
            }
        },
    }
    return genbench.Suite(**(content | others))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> genbench.Results:
    out = tmp_path_factory.mktemp("controls") / "out"
    return genbench.run(suite(), out, jobs=1, progress=False)


@pytest.fixture(scope="module")
def rows(run: genbench.Results) -> dict[str, Record]:
    return {record.entry: record for record in run.records}


def test_they_stand_beside_the_real_row(rows: dict[str, Record]) -> None:
    assert [*rows] == ["real", NEAREST, RANDOM, "GAN"]
    assert {row.status for row in rows.values()} == {"done"}
    assert rows[RANDOM].protocol == rows[NEAREST].protocol == rows["GAN"].protocol
    assert rows[RANDOM].is_baseline


def test_they_are_training_samples_with_the_texts_that_were_asked_for(
    run: genbench.Results,
) -> None:
    train = open_samples("shapes:held-out", Path())
    asked = open_samples("shapes:held-out", Path()).take(torch.arange(COUNT))
    known = {bytes(row) for row in train.take(torch.arange(len(train))).data.flatten(1).numpy()}
    for name in (RANDOM, NEAREST):
        held = run.samples(name).take(torch.arange(COUNT))
        assert held.texts == asked.texts
        assert held.condition["caption"].equal(asked.condition["caption"])
        assert {bytes(row) for row in held.data.flatten(1).numpy()} <= known


def test_chance_is_seldom_right_and_memory_of_what_was_seen_always(
    rows: dict[str, Record],
) -> None:
    """Whose texts are asked for are in the training set."""
    correct = [rows[name].value("correct") for name in (RANDOM, NEAREST, "real")]
    assert correct[0] < 0.2  # type: ignore[operator]
    assert correct[1:] == [1, 1]
    assert rows[NEAREST].value("memorized") == 1


def test_nothing_is_computed_twice(run: genbench.Results) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.folder.rglob("real/**/*")}
    again = genbench.run(suite(), run.folder, jobs=1, progress=False)
    assert {path: path.stat().st_mtime_ns for path in run.folder.rglob("real/**/*")} == before
    assert again.records == run.records


def test_tables_and_the_page_say_what_they_are(run: genbench.Results) -> None:
    table = run.table()._repr_markdown_()
    assert f"{RANDOM}: a random training sample for each text; what chance scores." in table
    assert f"{NEAREST}: the training sample whose text is most like" in table
    page = run.report().read_text(encoding="utf-8")
    assert f'alt="samples: {RANDOM}"' in page
    assert "What was asked for" in page
    assert 'alt="GAN: ' in page
    assert "✗ count" in page
    # Beneath the walk through the noise stands what each row was asked for.
    words = open_samples("shapes:held-out", Path()).take(torch.arange(6)).texts["caption"]
    listed = re.search(r'<ol class="rows".*?</ol>', page, re.DOTALL)
    assert listed is not None
    assert re.findall("<li>(.*)</li>", listed[0]) == list(words)


def test_there_are_none_where_no_score_looks_at_texts(tmp_path: Path) -> None:
    reader = suite()
    plain = {**reader.score.model_dump(), "extractor": "identity", "metrics": ["frechet_distance"]}
    plain |= {"headline": "frechet_distance"}
    names = []
    for content in (reader, suite(score=plain)):
        context = RunContext.of(content, tmp_path, Hardware(tmp_path, "cpu"))
        names.append(controls(context, content.dataset))
    assert names == [[RANDOM, NEAREST], []]


def test_an_entry_cannot_have_their_name() -> None:
    from genbench.suite import trainings

    entries = {f"{RANDOM}": {"model": "df-gan"}}
    with pytest.raises(UsageError, match="such rows are those of controls"):
        trainings(suite(entries=entries))


def captioned(*captions: str) -> TensorSamples:
    """The tokens are the numbers of words."""
    words = sorted({word for caption in captions for word in caption.split()})
    tokens = torch.zeros(len(captions), 9, dtype=torch.int64)
    for row, caption in enumerate(captions):
        for place, word in enumerate(caption.split()):
            tokens[row, place] = words.index(word) + 1
    spec = SampleSpec("points", (2,), None, {"caption": Text(9, len(words) + 1)})
    data = torch.zeros(len(captions), 2)
    return TensorSamples(spec, "c@1", data, {"caption": tokens}, {"caption": captions})


@pytest.mark.parametrize("known", ["words", "tokens"])
def test_the_nearest_text_has_the_same_words_in_the_same_order(known: str) -> None:
    whole = captioned(
        "a red circle",
        "a blue square above a red circle",
        "a red circle above a blue square",
        "two blue squares",
        "a red circle",
        "a red circle above a blue square",
        "two blue circles",
    )
    texts = whole.texts if known == "words" else {}
    data = TensorSamples(
        whole.spec,
        "d@1",
        whole.data[:4],
        {"caption": whole.condition["caption"][:4]},
        {name: words[:4] for name, words in texts.items()},
    )
    asked = Batch(
        torch.empty(3, 0),
        {"caption": whole.condition["caption"][4:]},
        {name: words[4:] for name, words in texts.items()},
    )
    assert nearest_texts(asked, data, ["caption"]).tolist() == [0, 2, 3]
    assert random_samples(asked, data, ["caption"]).shape == (3,)
