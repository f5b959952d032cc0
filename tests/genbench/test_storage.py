"""Files are whole or absent, damage is found, nothing is unpickled."""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path

import pytest
import torch

from genbench import storage
from genbench.errors import GenbenchError
from genbench.storage import Damaged


def test_cards_come_back(tmp_path: Path) -> None:
    content = {"name": "σ", "value": 0.1, "list": [1, None]}
    storage.write_card(tmp_path / "deep" / "a.json", content)
    assert storage.read_card(tmp_path / "deep" / "a.json") == content
    assert storage.read_card(tmp_path / "none.json") is None


def test_every_single_altered_byte_of_a_card_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    storage.write_card(path, {"name": "ddpm", "value": 1.5})
    whole = path.read_bytes()
    for index in range(len(whole)):
        path.write_bytes(whole[:index] + bytes([whole[index] ^ 1]) + whole[index + 1 :])
        if whole[index : index + 1].isspace():
            continue  # between tokens, where another byte may mean the same
        with pytest.raises(Damaged, match=re.escape(str(path))):
            storage.read_card(path)


def test_truncated_artefacts_are_found(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    storage.write_artefact(path, b"0123456789", {"step": 3})
    data, card = storage.read_artefact(path) or (b"", {})
    assert (data, card["step"]) == (b"0123456789", 3)
    path.write_bytes(b"01234")
    with pytest.raises(Damaged, match="its checksum does not agree with its card"):
        storage.read_artefact(path)


def test_an_artefact_without_its_card_was_never_finished(tmp_path: Path) -> None:
    storage.write_bytes(tmp_path / "x.bin", b"01234")
    assert storage.read_artefact(tmp_path / "x.bin") is None


@pytest.mark.parametrize("call", ["fsync", "open"])
def test_a_failing_disk_leaves_the_old_file(
    tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    storage.write_text(path, "old")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(*((os, "fsync") if call == "fsync" else (Path, "open")), fail)
        with pytest.raises(GenbenchError, match=r"cannot write .*a\.txt: No space left"):
            storage.write_text(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_tensors_and_states_come_back() -> None:
    tensors = {"a": torch.arange(6).view(2, 3), "b": torch.tensor(1.5)}
    back = storage.unpack_tensors(storage.pack_tensors(tensors))
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)
    state = {"step": 3, "rows": [{"loss": 0.1, "player": "a"}], "tensor": tensors["a"]}
    again = storage.unpack_state(storage.pack_state(state))
    assert again["rows"] == state["rows"]
    assert torch.equal(again["tensor"], tensors["a"])


class Canary:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch canary",)


def test_state_constructs_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pickle.UnpicklingError):
        storage.unpack_state(storage.pack_state({"step": Canary()}))
    assert not (tmp_path / "canary").exists()


def test_hashes_see_dtype_shape_and_content() -> None:
    zeros = torch.zeros(2, 3)
    others = [torch.zeros(3, 2), torch.zeros(2, 3, dtype=torch.float64), zeros + 1]
    hashes = {storage.hash_tensor(x) for x in (zeros, *others)}
    assert len(hashes) == 4
    assert storage.hash_tensor(zeros.clone()) in hashes
