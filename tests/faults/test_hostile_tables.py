"""Claims and leaderboards of others: each hostile one is refused in a line, soon, and in little
memory; what only looks hostile is read."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from click.testing import Result
from confined import assert_refused, confined
from corridor import call

CLAIM = (
    '[[claims]]\nname = "c"\ngroup = "a"\nagainst = "b"\nquantity = "precision"\nis = "higher"\n'
)
GROUPS = '[groups]\na = ["ddpm"]\nb = ["gan"]\n'
CLAIMS = f'title = "t"\n{GROUPS}{CLAIM}'

SOURCE = '[sources.s]\ntitle = "t"\naddress = "https://example.org"\n'
ROW = """[[rows]]
model = "m"
family = "gan"
scores = { frechet_distance = 3.5 }
source = "s"
table = "1"
quote = "3.5"
seen = true
"""
BOARD = f'title = "t"\ndataset = "digits"\n{SOURCE}{ROW}'

DEEP = 20_000
BIG = 1_000_000
"""Characters of the longest files."""

ANY: dict[str, bytes] = {
    "nothing": b"",
    "binary": bytes(range(256)),
    "zeros": bytes(1000),
    "latin-1": "title = 'é'".encode("latin-1"),
    "UTF-16": 'title = "t"'.encode("utf-16"),
    "a surrogate": b'title = "\\uD800"',
    "a list": b"[1, 2]",
    "JSON": b'{"title": "t"}',
    "deep lists": b"title = " + b"[" * DEEP + b"]" * DEEP,
    "deep tables": b"title = " + b"{a=" * DEEP + b"1" + b"}" * DEEP,
    "a deep heading": b"[a" + b".a" * 3000 + b"]\nb = 1",
    "a long number in base 16": b"title = 0x" + b"f" * 5000,
    "a long word": b"t" * BIG,
    "too long a file": b"#" * (17 << 20),
    "a long number": b"title = " + b"9" * 5000,
    "no number": b"title = nan",
    "a date": b"title = 1979-05-27T07:32:00Z",
    "a long comment": b"#" * BIG,
}
"""Neither claims nor a leaderboard."""


def claims(**changes: str) -> bytes:
    """The sound ones with lines replaced."""
    return _changed(CLAIMS, changes)


def board(**changes: str) -> bytes:
    return _changed(BOARD, changes)


def _changed(text: str, changes: dict[str, str]) -> bytes:
    for name, line in changes.items():
        key = {"is_": "is"}.get(name, name)
        (before,) = [each for each in text.splitlines() if each.startswith(f"{key} = ")][-1:]
        text = text.replace(f"{before}\n", f"{line}\n")
    return text.encode("utf-8", "surrogatepass")


NAMES = ", ".join(f'"m{k}"' for k in range(100_000))
CLAIM_FILES: dict[str, bytes] = {
    "a title of numbers": claims(title="title = 1"),
    "an empty title": claims(title='title = ""'),
    "a group that is a name": claims(a='a = "ddpm"'),
    "an empty group": claims(a="a = []"),
    "a group of numbers": claims(a="a = [1, 2]"),
    "a group of groups": claims(a='a = [["ddpm"]]'),
    "a model twice": claims(a='a = ["ddpm", "ddpm"]'),
    "a model in two groups": claims(a='a = ["gan"]'),
    "a group against itself": claims(against='against = "a"'),
    "an unknown group": claims(group='group = "c"'),
    "no direction": claims(is_='is = "better"'),
    "a number for a direction": claims(is_="is = 1"),
    "two of one name": (CLAIMS + CLAIM).encode(),
    "no claim": CLAIMS.replace(CLAIM, "claims = []\n").encode(),
    "claims that are a table": CLAIMS.replace("[[claims]]", "[claims]").encode(),
    "many models, one twice": claims(a=f'a = [{NAMES}, "gan"]'),
    "many claims, one twice": (
        CLAIMS + "".join(CLAIM.replace('"c"', f'"c{k}"') for k in range(5_000)) + CLAIM
    ).encode(),
}
BOARD_FILES: dict[str, bytes] = {
    "a data set that is a number": board(dataset="dataset = 1"),
    "an unknown score": board(dataset='dataset = "digits"\nscore = "frechet_distanc"'),
    "a score that is not quoted": board(scores="scores = { frechet_distance = 3 }"),
    "a score that is text": board(scores='scores = { frechet_distance = "3.5" }'),
    "a score that is no number": board(scores="scores = { frechet_distance = nan }"),
    "an infinite score": board(
        scores=f"scores = {{ frechet_distance = {'9' * 400} }}", quote=f'quote = "{"9" * 400}"'
    ),
    "an infinite number of evaluations": board(family='family = "gan"\nnfe = 1e999'),
    "no evaluations": board(family='family = "gan"\nnfe = 0'),
    "an infinite deviation": board(family='family = "gan"\ndeviation = inf'),
    "a count of 400 digits": board(family=f'family = "gan"\ncount = {"9" * 400}'),
    "a count below one": board(family='family = "gan"\ncount = -1'),
    "another family": board(family='family = "flow"'),
    "an address that is a program": board(address='address = "javascript:alert(1)"'),
    "an address with an end of line": board(address='address = "https://a\\n.b"'),
    "an unknown source": board(source='source = "z"'),
    "a source of nothing": (BOARD + SOURCE.replace(".s]", ".z]")).encode(),
    "a row twice": (BOARD + ROW).encode(),
    "seen that is a word": board(seen='seen = "yes"'),
    "a row that is a list": BOARD.replace(ROW, "rows = [[]]\n").encode(),
    "a long quote": board(quote=f'quote = "{"3.4 " * (BIG // 4)}"'),
    "many sources of nothing": (
        BOARD + "".join(SOURCE.replace(".s]", f".s{k}]") for k in range(10_000))
    ).encode(),
}


def verdict(path: Path, example: Path) -> Result:
    return call("verdict", example, "--claims", path)


def leaderboard(path: Path) -> Result:
    return call("leaderboard", path)


def test_the_sound_ones_are_read(example_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "sound.toml"
    path.write_text(CLAIMS, encoding="utf-8")
    assert verdict(path, example_folder).exit_code == 0
    path.write_text(BOARD, encoding="utf-8")
    done = leaderboard(path)
    assert done.exit_code == 0
    assert "3.5" in done.stdout


@pytest.mark.parametrize("name", [*ANY, *CLAIM_FILES])
def test_claims(name: str, example_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "claims.toml"
    path.write_bytes((ANY | CLAIM_FILES)[name])
    (told,) = confined(partial(verdict, path, example_folder))
    assert_refused(told, 2, path.name)


@pytest.mark.parametrize("name", [*ANY, *BOARD_FILES])
def test_leaderboards(name: str, tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_bytes((ANY | BOARD_FILES)[name])
    (told,) = confined(partial(leaderboard, path))
    assert_refused(told, 2, path.name)
