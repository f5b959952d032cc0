"""Files are whole or absent, damage is found, nothing is unpickled."""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path

import pytest
import torch

from genbench import store
from genbench.api.errors import UsageError
from genbench.store import CannotWrite, Damaged

ALL = re.compile(".*")


def test_cards_come_back(tmp_path: Path) -> None:
    content = {"name": "σ", "value": 0.1, "list": [1, None]}
    store.write_metadata(tmp_path / "deep" / "a.json", content)
    assert store.read_metadata(tmp_path / "deep" / "a.json") == content
    assert store.read_metadata(tmp_path / "none.json") is None


def test_every_flipped_bit_and_every_cut_of_a_card_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    store.write_metadata(path, {"name": "σ", "value": 1.5, "list": [1, None]})
    whole = path.read_bytes()
    altered = [whole[:length] for length in range(len(whole))]
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        altered.append(bytes(flipped))
    for data in altered:
        path.write_bytes(data)
        with pytest.raises(Damaged, match=re.escape(str(path))):
            store.read_metadata(path)


def test_a_card_of_deep_nonsense_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(Damaged, match="not a metadata"):
        store.read_metadata(path)


def test_truncated_artefacts_are_found(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    store.write_artefact(path, b"0123456789", {"step": 3})
    data, metadata = store.read_artefact(path) or (b"", {})
    assert (data, metadata["step"]) == (b"0123456789", 3)
    path.write_bytes(b"01234")
    with pytest.raises(Damaged, match="its checksum does not agree with its metadata"):
        store.read_artefact(path)


def test_an_artefact_without_its_card_was_never_finished(tmp_path: Path) -> None:
    store.write_bytes(tmp_path / "x.bin", b"01234")
    assert store.read_artefact(tmp_path / "x.bin") is None


def test_what_is_damaged_in_a_folder_is_listed(tmp_path: Path) -> None:
    store.write_artefact(tmp_path / "runs" / "whole.bin", b"0", {})
    store.write_metadata(tmp_path / "runs" / "whole.json", {})
    store.write_bytes(tmp_path / "runs" / "unfinished.bin", b"1")
    assert list(store.damaged(tmp_path, ALL)) == []
    for name in ("altered.bin", "gone.bin", "metadata.bin"):
        store.write_artefact(tmp_path / "runs" / name, b"2", {})
    store.write_bytes(tmp_path / "runs" / "altered.bin", b"3")
    store.remove(tmp_path / "runs" / "gone.bin")
    store.write_text(tmp_path / "runs" / "metadata.bin.json", "{}")
    found = {path.name: str(error) for path, error in store.damaged(tmp_path, ALL)}
    assert found.keys() == {"altered.bin.json", "gone.bin.json", "metadata.bin.json"}
    assert f"{tmp_path / 'runs' / 'altered.bin'} is damaged" in found["altered.bin.json"]
    assert "No such file" in found["gone.bin.json"]


@pytest.mark.parametrize("call", ["fsync", "open"])
def test_a_failing_disk_leaves_the_old_file(
    tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    store.write_text(path, "old")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(*((os, "fsync") if call == "fsync" else (Path, "open")), fail)
        with pytest.raises(CannotWrite) as caught:
            store.write_text(path, "new")
    assert str(caught.value) == f"cannot write {path}: No space left on device"
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_an_interrupt_leaves_nothing_beside_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            store.write_text(tmp_path / "a.txt", "new")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_where_a_file_is_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine")
    for act in (
        lambda: store.write_text(tmp_path / "a" / "b" / "c.txt", ""),
        lambda: store.make_folder(tmp_path / "a"),
        lambda: store.lock(tmp_path / "a").__enter__(),
    ):
        with pytest.raises(CannotWrite, match=rf"cannot write {re.escape(str(tmp_path / 'a'))}"):
            act()
    with pytest.raises(CannotWrite, match=r"Is a directory|not permitted"):
        store.remove(tmp_path)


def test_every_new_name_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder's own name is lost by a crash as a file's is."""
    synced: list[str] = []

    def note(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    monkeypatch.setattr(os, "fsync", note)
    store.write_text(tmp_path / "a" / "b" / "c.txt", "")
    inner = str(tmp_path / "a" / "b")
    first, second, aside, last = synced
    assert [first, second, last] == [str(tmp_path), str(tmp_path / "a"), inner]
    assert Path(aside).parent == tmp_path / "a" / "b"
    assert Path(aside).name != "c.txt"


def half_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a process leaves that is killed while it writes."""
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *_: os._exit(1))
        if os.fork() == 0:
            store.write_text(folder / "a.json", "half")
        os.wait()
    (found,) = folder.glob(".*.tmp")
    return found


def test_the_lock_clears_what_killed_processes_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not what a live process of this machine or a fresh one of another may be writing, and
    nothing that genbench did not name."""
    dead = half_written(tmp_path / "runs", monkeypatch)
    process = dead.name.split("-")[2]
    kept = [
        dead.name.replace(process, str(os.getpid())),
        dead.name.replace(dead.name.split("-")[1], "0123abcd"),
        *(".draft.tmp", f".a.json.{process}.tmp", ".genbench-draft.tmp"),
    ]
    for name in kept:
        (tmp_path / "runs" / name).touch()
    old = tmp_path / "runs" / kept[1].replace("0123abcd", "0123abce")
    old.touch()
    os.utime(old, (0, 0))
    with store.lock(tmp_path):
        assert {path.name for path in (tmp_path / "runs").iterdir()} == {*kept}


def test_a_file_is_replaced_as_what_it_is(tmp_path: Path) -> None:
    """A link stays a link, a mode a mode; a pipe or a device is refused."""
    target, link, pipe = tmp_path / "it.txt", tmp_path / "link", tmp_path / "pipe"
    target.write_text("old", encoding="utf-8")
    target.chmod(0o640)
    link.symlink_to(target)
    store.write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text(encoding="utf-8") == "new"
    assert target.stat().st_mode & 0o777 == 0o640
    os.mkfifo(pipe)
    for special in (pipe, Path("/dev/null"), tmp_path):
        before = special.stat().st_mode
        with pytest.raises(CannotWrite, match="it is there, and no regular file"):
            store.write_text(special, "new")
        assert special.stat().st_mode == before


def test_a_name_as_long_as_names_may_be(tmp_path: Path) -> None:
    store.write_text(tmp_path / ("n" * 255), "whole")
    assert (tmp_path / ("n" * 255)).read_text(encoding="utf-8") == "whole"
    with pytest.raises(CannotWrite, match="File name too long"):
        store.write_text(tmp_path / ("n" * 256), "")


@pytest.mark.parametrize("replaced", [False, True])
def test_a_folder_that_is_moved_away_is_not_made_again(replaced: bool, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with store.lock(folder):
        store.write_text(folder / "runs" / "a.txt", "here")
        folder.rename(tmp_path / "moved")
        if replaced:
            folder.mkdir()
        with pytest.raises(CannotWrite, match="was moved or removed"):
            store.write_text(folder / "runs" / "b.txt", "there")
    assert not folder.exists() or not any(folder.iterdir())
    assert (tmp_path / "moved" / "runs" / "a.txt").exists()
    store.write_text(folder / "runs" / "b.txt", "another time")  # it is nobody's now


def test_a_folder_is_ours_with_the_marker_or_what_a_kill_leaves_of_it(tmp_path: Path) -> None:
    store.require_own(tmp_path / "new", "run.json")
    (tmp_path / ".lock").touch()
    (tmp_path / ".genbench-0123abcd-123-0.tmp").touch()
    store.require_own(tmp_path, "run.json")
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UsageError, match="belongs to something else"):
        store.require_own(tmp_path, "run.json")
    (tmp_path / "run.json").touch()
    store.require_own(tmp_path, "run.json")


def test_tensors_and_states_come_back() -> None:
    tensors = {"a": torch.arange(6).view(2, 3), "b": torch.tensor(1.5)}
    back = store.unpack_tensors(store.pack_tensors(tensors))
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)
    state = {"step": 3, "rows": [{"loss": 0.1, "player": "a"}], "tensor": tensors["a"]}
    again = store.unpack_state(store.pack_state(state))
    assert again["rows"] == state["rows"]
    assert torch.equal(again["tensor"], tensors["a"])


def test_tensors_that_share_memory_come_back_each_whole() -> None:
    tied = torch.nn.Linear(3, 3)
    module = torch.nn.Sequential(tied, tied)
    tensors = {**module.state_dict(), "row": tied.weight[1]}
    back = store.unpack_tensors(store.pack_tensors(tensors))
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)
    module.load_state_dict({name: value for name, value in back.items() if name != "row"})


class Canary:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch canary",)


def test_state_constructs_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pickle.UnpicklingError):
        store.unpack_state(store.pack_state({"step": Canary()}))
    assert not (tmp_path / "canary").exists()


def test_hashes_see_dtype_shape_and_content() -> None:
    zeros = torch.zeros(2, 3)
    others = [torch.zeros(3, 2), torch.zeros(2, 3, dtype=torch.float64), zeros + 1]
    hashes = {store.hash_tensor(x) for x in (zeros, *others)}
    assert len(hashes) == 4
    assert store.hash_tensor(zeros.clone()) in hashes
