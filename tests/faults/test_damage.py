"""Every file of an output folder cut off and with flipped bits: found, named, made anew."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from corridor import call, comparable, in_this_process, write_suite

from genbench import store
from genbench.experiment.run import REPORT, SUITE, TABLE
from genbench.store import Damaged, records
from genbench.store.records import MARKER, RECORDS

ALL = re.compile(".*")
CUTS, FLIPS = 50, 1000

KINDS = {
    "the suite": "suite.toml",
    "the marker": MARKER,
    "the records": RECORDS,
    "the table": TABLE,
    "the page": REPORT,
    "what is trained": "runs/toy*/run.json",
    "how it ended": "runs/toy*/training.json",
    "the history": "runs/toy*/history.csv",
    "its metadata": "runs/toy*/history.csv.json",
    "a snapshot": "runs/toy*/snapshots/*.safetensors",
    "a snapshot's metadata": "runs/toy*/snapshots/*.json",
    "samples": "runs/toy*/samples/*.safetensors",
    "their metadata": "runs/toy*/samples/*.json",
    "neighbours": "runs/toy*/neighbours/*.safetensors",
    "the neighbours' metadata": "runs/toy*/neighbours/*.json",
    "a trajectory": "runs/toy*/trajectories/*.safetensors",
    "a trajectory's metadata": "runs/toy*/trajectories/*.json",
    "scores": "runs/toy*/scores/*.json",
    "a record": "runs/toy*/records/*.json",
    "a time": "runs/toy*/timing/*.json",
    "the real row": "runs/real/records/*.json",
    "its scores": "runs/real/scores/*.json",
    "the real samples": "runs/real/samples/*.safetensors",
    "the real samples' metadata": "runs/real/samples/*.json",
    "the real neighbours": "runs/real/neighbours/*.safetensors",
    "the real neighbours' metadata": "runs/real/neighbours/*.json",
}


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_suite(tmp_path_factory.mktemp("suite"))


@pytest.fixture(scope="module")
def finished(suite: Path) -> Path:
    out = suite.parent / "finished"
    with in_this_process():
        done = call("run", suite, "--out", out)
    assert done.exit_code == 0, done.output
    return out


def files(folder: Path) -> list[Path]:
    """Those that hold something: the locks are empty."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")


def test_every_kind_of_file_is_known(finished: Path) -> None:
    known = {path for pattern in KINDS.values() for path in finished.glob(pattern)}
    assert known == set(files(finished))
    assert all(path.stat().st_size == 0 for path in finished.rglob(".lock"))


def reader(folder: Path, path: Path) -> Callable[[], object]:
    """What reads ``path`` first of all: it is to raise ``Damaged``."""
    if path.name == RECORDS:
        return lambda: records.read_records(folder)
    if path.name in (SUITE, TABLE, REPORT):

        def look() -> None:
            if not records.sealed(folder)[path.name]:
                raise Damaged(str(path))

        return look
    if path.suffix == ".json":
        return lambda: store.read_metadata(path)
    return lambda: store.read_artefact(path)


def test_every_cut_and_every_flipped_bit_is_found_and_named(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "altered"
    shutil.copytree(finished, folder)
    stream = random.Random(0)
    each = -(-FLIPS // len(files(folder)))
    found = 0
    for path in files(folder):
        whole, read = path.read_bytes(), reader(folder, path)
        read()
        places = {len(whole) * k // CUTS for k in range(CUTS)}
        altered = [whole[:length] for length in places]
        altered += [flipped(whole, stream) for _ in range(each)]
        for data in altered:
            path.write_bytes(data)
            with pytest.raises(Damaged) as caught:
                read()
            assert str(path) in str(caught.value)
            assert "\n" not in str(caught.value)
            found += 1
        path.write_bytes(whole)
    print(f"{found} alterations of {len(files(folder))} files")
    assert found >= FLIPS + 0.9 * CUTS * len(files(folder))


def flipped(data: bytes, stream: random.Random) -> bytes:
    bit = stream.randrange(8 * len(data))
    altered = bytearray(data)
    altered[bit // 8] ^= 1 << bit % 8
    return bytes(altered)


def damage(folder: Path, pattern: str, stream: random.Random) -> Path:
    path = stream.choice(sorted(folder.glob(pattern)))
    data = path.read_bytes()
    cut = stream.random() < 0.5
    path.write_bytes(data[: stream.randrange(len(data))] if cut else flipped(data, stream))
    return path


def unjudged(path: Path, damaged: list[Path]) -> bool:
    """Whether what holds the checksum of ``path`` is damaged itself, and named for both."""
    return any(
        other == store.metadata_path(path) or (other.name, path.parent) == (MARKER, other.parent)
        for other in damaged
        if other != path
    )


@pytest.mark.parametrize("number", range(len(KINDS) + 6))
def test_a_run_names_what_is_damaged_and_mends_it(
    number: int, suite: Path, finished: Path, tmp_path: Path
) -> None:
    """One kind of file after the other, then several at once."""
    stream = random.Random(number)
    kinds = list(KINDS)
    chosen = [kinds[number]] if number < len(kinds) else stream.sample(kinds, 6)
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    paths = [damage(out, KINDS[kind], stream) for kind in chosen]
    with in_this_process():
        done = call("run", suite, "--out", out)
        again = call("run", suite, "--out", out)
    assert done.exit_code == 0, done.output
    for path in paths:
        lines = [line for line in done.stderr.splitlines() if f"{path} is damaged" in line]
        if not unjudged(path, paths):
            assert len(lines) == 1, (path, done.stderr)
            assert "again" in lines[0] or "recomputed" in lines[0]
    assert "damaged" not in again.stderr
    assert comparable(out) == comparable(finished)
    assert list(store.damaged(out, ALL)) == []
    # The very files, but for those that hold a time.
    assert [p.relative_to(out) for p in files(out)] == [
        p.relative_to(finished) for p in files(finished)
    ]
    for path in files(out):
        if path.suffix in (".csv", ".safetensors") or path.parent.name == "scores":
            assert path.read_bytes() == (finished / path.relative_to(out)).read_bytes(), path


@pytest.mark.parametrize("kind", ["a snapshot", "how it ended", "what is trained"])
def test_training_again_mends_a_training(kind: str, finished: Path, tmp_path: Path) -> None:
    """Outside an output folder, whose names say what is in them."""
    arguments = ["toy", "points-ring", "--examples", "64", "--out", tmp_path / "run"]
    assert call("train", *arguments).exit_code == 0
    whole = {p: p.read_bytes() for p in files(tmp_path / "run") if p.suffix != ".json"}
    for number in range(4):
        pattern = KINDS[kind].replace("runs/toy*/", "run/")
        path = damage(tmp_path, pattern, random.Random(f"{kind} {number}"))
        refused = call("sample", tmp_path / "run", "--weights", "raw", "--out", tmp_path / "s.npz")
        if "snapshot" not in kind:
            assert refused.exit_code == 1, refused.output
        done = call("train", *arguments)
        assert done.exit_code == 0, done.output
        assert sum(f"{path} is damaged" in line for line in done.stderr.splitlines()) == 1
        assert {p: p.read_bytes() for p in whole} == whole
        assert list(store.damaged(tmp_path, ALL)) == []


def test_another_training_is_not_mended(tmp_path: Path) -> None:
    """What is refused is left as it is."""
    command = ["train", "toy", "points-ring", "--out", tmp_path / "run", "--examples"]
    assert call(*command, "64").exit_code == 0
    damage(tmp_path, "run/snapshots/*.safetensors", random.Random(0))
    before = {path: path.read_bytes() for path in files(tmp_path)}
    refused = call(*command, "96")
    assert refused.exit_code == 2
    assert "holds another training" in refused.stderr
    assert {path: path.read_bytes() for path in files(tmp_path)} == before


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("sample", "what is trained"),
        ("sample", "how it ended"),
        ("sample", "a snapshot"),
        ("sample", "a snapshot's metadata"),
        ("sample", "samples"),
        ("table", "the records"),
        ("table", "the marker"),
        ("report", "the records"),
        ("report", "the history"),
        ("report", "samples"),
        ("report", "neighbours"),
        ("report", "the real samples"),
    ],
)
def test_looking_at_damage_is_one_line(
    command: str, kind: str, finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    paths = sorted(out.glob(KINDS[kind]))
    for number, path in enumerate(paths):
        path.write_bytes(flipped(path.read_bytes(), random.Random(number)))
    run = next(out.glob("runs/toy*"))
    options = {
        # The very samples that the suite has drawn.
        "sample": ["sample", run, "--count", "64", "--out", tmp_path / "s.npz"],
        "table": ["table", out],
        "report": ["report", out, "--out", tmp_path / "page.html"],
    }
    done = call(*options[command])
    assert done.exit_code == 1, done.output
    assert done.stderr.startswith("genbench: ")
    assert done.stderr.count("\n") == 1
    assert any(str(path) in done.stderr for path in paths)
    assert "repeat the genbench run or train that wrote it, to repair it" in done.stderr
    assert not (tmp_path / "s.npz").exists()
    assert not (tmp_path / "page.html").exists()


FOREIGN = (
    "{name} (conflicted copy).json",
    "._{name}.json",
    "notes.json",
    ".draft.tmp",
    "{name}.json.bak",
)


def test_files_of_others_are_left_alone(suite: Path, finished: Path, tmp_path: Path) -> None:
    """What a synchronising tool or a user lays beside ours is no damage, and is not removed."""
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    laid = []
    for path in files(finished):
        folder = out / path.relative_to(finished).parent
        laid += [folder / name.format(name=path.name.partition(".")[0]) for name in FOREIGN]
    for path in laid:
        path.write_text("{}", encoding="utf-8")
    with in_this_process():
        done = call("run", suite, "--out", out)
        damage(out, KINDS["a snapshot"], random.Random(0))
        mended = call("run", suite, "--out", out)
    assert done.exit_code == mended.exit_code == 0
    assert "damaged" not in done.stderr
    assert {path.read_text(encoding="utf-8") for path in laid} == {"{}"}
    assert comparable(out) == comparable(finished)
