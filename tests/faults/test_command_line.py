"""What a command line and its files may hold: one line and an exit status, whatever it is."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import ring
from corridor import call

LONG = "n" * 300
DIGITS = "9" * 400
MANY = "9" * 5_000
SUITE = ring.SUITE + '[entries.A]\nmodel = "gan"\n'


def one_line(*arguments: str | Path, status: int = 2) -> str:
    done = call(*arguments)
    assert done.exit_code == status, done.output
    assert done.stderr.startswith(("genbench: ", "Usage"))
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.output
    return done.stderr


SETTINGS = {
    "400 digits": (f"examples={DIGITS}", "at most 64 bits"),
    "5,000 digits": (f"examples={MANY}", "valid integer"),
    "5,000 hexadecimal digits": (f"examples=0x{'f' * 5_000}", "at most 64 bits"),
    "digits in an option": (f"entries.A.options.channels={DIGITS}", "at most 64 bits"),
    "digits in a list": (f"seeds=[0, {DIGITS}]", "at most 64 bits"),
    "brackets": (f"title={'[' * 300}{']' * 300}", "nested too deeply"),
    "many brackets": (f"title={'[' * 20_000}{']' * 20_000}", "nested too deeply"),
    "tables": (f"title={'{a=' * 5_000}1{'}' * 5_000}", "nested too deeply"),
    "a key of 5,000 parts": (".".join(["a"] * 5_000) + "=1", "nested too deeply"),
    "a key of 300 parts": (".".join(["a"] * 300) + "=1", "nested too deeply"),
    "an option of 5,000 parts": ("entries.A.options." + ".".join("a" * 5_000) + "=1", "nested"),
    "NUL in a name": ('name="a\\u0000b"', "the character NUL"),
    "NUL in a path": ('dataset="./a\\u0000b.npz"', "the character NUL"),
    "threads": ("train.threads=1e11", "threads"),
    "whole threads": ("train.threads=100000000000", "less than or equal to 4096"),
    "samples": ("samples=9000000000000000000", "GiB of memory"),
    "snapshots": ("score.snapshots.count=9000000000000000000", "less than or equal to"),
    "a long dataset": (f"dataset={LONG}", "unknown dataset"),
    "a long path": (f"dataset=./{LONG}.npz", "File name too long"),
    "a long name": (f"name={LONG}", "File name too long"),
    "bytes that are no text": ("title=\udcff", "a text is not Unicode"),
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("command", ["run", "dry-run"])
def test_a_setting(
    name: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "suite.toml").write_text(SUITE, encoding="utf-8")
    setting, said = SETTINGS[name]
    flags = ["--dry-run"] if command == "dry-run" else []
    status = 1 if name == "a long name" else 2
    text = one_line("run", "suite.toml", "--set", setting, *flags, status=status)
    assert re.search(said, text)
    assert len(text) < 2_000 or MANY in text
    assert [path.name for path in tmp_path.iterdir()] == ["suite.toml"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", LONG], "unknown suite"),
        (["run", f"{LONG}.toml"], "File name too long"),
        (["run", f"a/{LONG}"], "No such file"),
        (["verdict", "{tmp}", "--claims", LONG], "records.jsonl"),
        (["leaderboard", LONG], "unknown leaderboard"),
        (["table", LONG], "File name too long"),
        (["stability", f"{LONG}.csv"], "File name too long"),
        (["init", "suite", LONG], "File name too long"),
        (["list", "models", "--plugin", f"{LONG}.py"], "File name too long"),
        (["train", "gan", "digits", "--out", LONG], "File name too long"),
        (["train", "gan", "digits", "--seed", DIGITS, "--out", "{tmp}/r"], "--seed"),
        (["train", "gan", "digits", "--examples", DIGITS, "--out", "{tmp}/r"], "--examples"),
        (["train", "gan", "digits", "--examples", MANY, "--out", "{tmp}/r"], "--examples"),
        (["train", "gan", "digits", "--devices", DIGITS, "--out", "{tmp}/r"], "--devices"),
        (["train", "gan", "digits", "--option", f"channels={DIGITS}", "--out", "{tmp}/r"], "64"),
        (["run", "quickstart", "--seeds", DIGITS], "seeds"),
        (["run", "quickstart", "--seeds", MANY], "seeds"),
        (["run", "quickstart", "--jobs", DIGITS], "--jobs"),
        (["sample", "{tmp}", "--count", "9" + "0" * 29, "--out", "{tmp}/s.npz"], "--count"),
        (["sensitivity", "quickstart", "--over", f"batch={DIGITS}"], "64 bits"),
        (["sensitivity", "quickstart", "--over", f"batch={'[' * 9_000}"], "nested|--over"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_an_argument(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = call(*(argument.replace("{tmp}", str(tmp_path)) for argument in arguments))
    assert done.exit_code in (1, 2), done.output
    assert re.search(said, done.stderr)
    assert done.stderr.startswith("genbench: ")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.fixture(params=["pipe", "device"])
def endless(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What no reader comes to the end of, as a name without a suffix."""
    path = tmp_path / "endless"
    if request.param == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    return path


FILES = {
    "suite": (".toml", ["run", "{}"]),
    "suite without suffix": ("", ["run", "{}"]),
    "suite to train": (".toml", ["train", "{}:A", "--out", "{tmp}/r"]),
    "claims": (".toml", ["verdict", "{example}", "--claims", "{}"]),
    "leaderboard": (".toml", ["leaderboard", "{}"]),
    "CSV": (".csv", ["stability", "{}"]),
    "program": (
        ".pt2",
        [
            *("evaluate", "digits", "--against", "digits:test"),
            *("--extractor", "program", "--option", "path={}"),
        ],
    ),
    "plugin": (".py", ["list", "models", "--plugin", "{}"]),
    "samples": (".npz", ["evaluate", "{}", "--against", "digits:test"]),
    "statistics": (".npz", ["evaluate", "digits", "--against", "{}"]),
    "job": (".json", ["job", "{}"]),
}


@pytest.mark.parametrize("what", FILES)
def test_what_is_no_regular_file_is_never_opened(
    what: str, endless: Path, tmp_path: Path, example_folder: Path
) -> None:
    suffix, arguments = FILES[what]
    place = endless.rename(endless.with_name(f"endless{suffix}"))
    given = [
        argument.replace("{}", str(place))
        .replace("{tmp}", str(tmp_path))
        .replace("{example}", str(example_folder))
        for argument in arguments
    ]
    assert "endless" in one_line(*given)


@pytest.mark.parametrize("name", ["records.jsonl", "genbench.json"])
@pytest.mark.parametrize(
    "command", ["table", "report", "plot", "verdict", "compare", "leaderboard"]
)
def test_nor_what_lies_in_a_run_folder(name: str, command: str, tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_bytes(b"")
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    given = {
        "report": ["--out", tmp_path / "page.html"],
        "plot": ["--out", tmp_path / "plots"],
        "compare": [tmp_path],
    }
    before = ["celeba64"] if command == "leaderboard" else []
    assert "not a regular file" in one_line(
        command, *before, tmp_path, *given.get(command, []), status=1
    )


def test_a_file_of_claims_is_bounded(tmp_path: Path, example_folder: Path) -> None:
    path = tmp_path / "claims.toml"
    with path.open("wb") as file:
        file.truncate(2**40)
    assert "longer than" in one_line("verdict", example_folder, "--claims", path)


def test_a_mark_of_byte_order_is_no_mistake(tmp_path: Path) -> None:
    from genbench.suite import Suite

    plain, marked = tmp_path / "a.toml", tmp_path / "b.toml"
    plain.write_text(SUITE, encoding="utf-8")
    marked.write_text(SUITE, encoding="utf-8-sig")
    suites = [Suite.from_toml(path).model_copy(update={"name": ""}) for path in (plain, marked)]
    assert suites[0] == suites[1]
