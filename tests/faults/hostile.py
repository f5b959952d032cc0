"""Files that would run code if they were unpickled, and files whose numbers lie."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

GIGABYTE = 1 << 30


class Trap:
    """Unpickling it makes a folder."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.canary),)


class TrapInState:
    """The same when its state is set."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return OrderedDict, (), {"trap": Trap(self.canary)}


def pickled(content: Any, protocol: int) -> bytes:
    return pickle.dumps(content, protocol)


def saved(content: Any, zipped: bool = True) -> bytes:
    """By ``torch.save``, also as before version 1.6."""
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def tarred(content: Any) -> bytes:
    """As torch wrote before version 0.1.10: three pickles in a tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, value in (("storages", 0), ("tensors", 0), ("pickle", content)):
            data = pickle.dumps(value, 2)
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def scripted() -> bytes:
    """As TorchScript archives are laid out, which ``torch.load`` may hand to its interpreter."""
    code = b"def forward(self, x):\n  return x\n"
    return zipped(
        {
            "a/data.pkl": pickle.dumps({}, 2),
            "a/constants.pkl": pickle.dumps((), 2),
            "a/code/__torch__.py": code,
            "a/version": b"3\n",
        },
        zipfile.ZIP_STORED,
    )


def zipped(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def torch_zip(data: bytes, storages: dict[str, bytes] | None = None) -> bytes:
    """A torch archive around that pickle."""
    entries = {"a/data.pkl": data, "a/version": b"3\n", "a/byteorder": b"little"}
    entries |= {f"a/data/{name}": value for name, value in (storages or {}).items()}
    return zipped(entries, zipfile.ZIP_STORED)


def with_record(data: bytes, name: str, record: bytes) -> bytes:
    """A zip archive with one of its records replaced."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {entry: archive.read(entry) for entry in archive.namelist()}
    key = next(entry for entry in entries if entry.endswith(name))
    return zipped({**entries, key: record}, zipfile.ZIP_STORED)


def npy(header: str, data: bytes = b"") -> bytes:
    """An array file with any header."""
    text = header.encode("latin1")
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def array(value: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, value, allow_pickle=True)
    return buffer.getvalue()


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(shape: list[int], first: int, last: int, dtype: str = "F32") -> dict[str, Any]:
    return {"samples": {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}}


def files(canary: Path) -> dict[str, Callable[[], bytes]]:
    """By file name; each is made when it is wanted."""
    trap, points = Trap(canary), np.zeros((9, 2), np.float32)
    objects = np.array([trap], dtype=object)
    good = array(points)
    weights = saved({"samples": torch.zeros(9, 2)})
    code = f"__import__('os').mkdir({str(canary)!r})"
    shape = "{'descr': '<f4', 'fortran_order': False, 'shape': %s}"
    found: dict[str, Callable[[], bytes]] = {}
    for protocol in range(6):
        found[f"pickle-{protocol}.pt"] = lambda p=protocol: pickled({"samples": trap}, p)
    for suffix in ("npy", "npz", "safetensors"):
        found[f"pickle.{suffix}"] = lambda: pickled({"samples": trap}, 2)
    found |= {
        "bare-trap.pt": lambda: saved(trap),
        "trap.pt": lambda: saved({"samples": trap}),
        "trap-beside.pt": lambda: saved({"samples": torch.zeros(9, 2), "labels": trap}),
        "trap-as-key.pt": lambda: saved({"samples": torch.zeros(9, 2), (1, trap): 1}),
        "trap-in-state.pt": lambda: saved({"samples": TrapInState(canary)}),
        "trap-nested.pt": lambda: saved({"samples": [[{"x": [trap]}]]}),
        "module.pt": lambda: saved(torch.nn.Linear(2, 2)),
        "legacy.pt": lambda: saved({"samples": trap}, zipped=False),
        "legacy-tar.pt": lambda: tarred({"samples": trap}),
        "script.pt": scripted,
        "zip-of-pickle.pt": lambda: torch_zip(pickled(trap, 2)),
        "zip-of-pickle.npz": lambda: torch_zip(pickled(trap, 2)),
        "plain-zip-of-pickle.pt": lambda: zipped({"data.pkl": pickled(trap, 2)}),
        "eval.pt": lambda: torch_zip(b"c__builtin__\neval\n(V" + code.encode() + b"\ntR."),
        "deep.pt": lambda: torch_zip(b"\x80\x02" + b"(" * 200_000 + b"l" * 200_000 + b"."),
        "endless-memo.pt": lambda: torch_zip(b"\x80\x02" + b"]r\xff\xff\xff\x7f" * 1000 + b"."),
        "short-store.pt": lambda: with_record(weights, "data/0", b"\0" * 8),
        "long-store.pt": lambda: with_record(weights, "data/0", b"\0" * 10_000),
        "no-store.pt": lambda: torch_zip(_record(weights, "data.pkl")),
        "cut.pt": lambda: weights[: len(weights) // 2],
        "objects.npy": lambda: array(objects),
        "objects-structured.npy": lambda: array(
            np.array([(1, trap)], dtype=[("a", "i4"), ("b", "O")])
        ),
        "code-in-header.npy": lambda: npy(code, points.tobytes()),
        "code-in-shape.npy": lambda: npy(shape % code, points.tobytes()),
        "huge.npy": lambda: npy(shape % "(1099511627776, 2)", points.tobytes()),
        "overflowing.npy": lambda: npy(shape % "(4611686018427387904, 8)", points.tobytes()),
        "negative.npy": lambda: npy(shape % "(-9, 2)", points.tobytes()),
        "long-header.npy": lambda: npy("{" + " " * 65_000 + "}"),
        "other-version.npy": lambda: b"\x93NUMPY\x09\x00" + good[8:],
        "objects.npz": lambda: zipped({"samples.npy": array(objects)}),
        "objects-beside.npz": lambda: zipped({"samples.npy": good, "labels.npy": array(objects)}),
        "pickle-inside.npz": lambda: zipped({"samples": pickled(trap, 2)}),
        "nested.npz": lambda: zipped({"samples.npy": zipped({"samples.npy": array(objects)})}),
        "bomb.npz": lambda: zipped(
            {"samples.npy": npy(shape % "(300000000, 2)", bytes(GIGABYTE // 16))}
        ),
        "cut.npz": lambda: zipped({"samples.npy": good})[:-30],
        "empty.npz": lambda: zipped({}),
        "length-beyond.safetensors": lambda: safetensors(tensor([9, 2], 0, 72), length=1 << 20),
        "length-huge.safetensors": lambda: safetensors(tensor([9, 2], 0, 72), length=1 << 63),
        "length-zero.safetensors": lambda: safetensors(tensor([9, 2], 0, 72), length=0),
        "no-object.safetensors": lambda: safetensors([1, 2, 3]),
        "deep.safetensors": lambda: safetensors(b'{"samples":' + b"[" * 100_000),
        "beyond.safetensors": lambda: safetensors(tensor([9, 2], 0, 72), bytes(10)),
        "huge.safetensors": lambda: safetensors(tensor([1 << 40, 2], 0, 1 << 43), bytes(72)),
        "overflowing.safetensors": lambda: safetensors(
            tensor([1 << 62, 1 << 62], 0, 72), bytes(72)
        ),
        "backwards.safetensors": lambda: safetensors(tensor([9, 2], 72, 0), bytes(72)),
        "hole.safetensors": lambda: safetensors(tensor([9, 2], 8, 80), bytes(80)),
        "other-type.safetensors": lambda: safetensors(
            tensor([9, 2], 0, 72, "PICKLE"), pickled(trap, 2)
        ),
    }
    return found


def harmless(canary: Path) -> dict[str, Callable[[], bytes]]:
    """Files whose traps are never touched: what is asked of them is sound."""
    good, trap = array(np.zeros((99, 2), np.float32)), pickled(Trap(canary), 2)
    return {
        "traversal.npz": lambda: zipped({"samples.npy": good, f"../../{canary.name}/x": trap}),
        "absolute.npz": lambda: zipped({"samples.npy": good, str(canary / "x"): trap}),
        "lying-sizes.npz": lambda: _lying(zipped({"samples.npy": good})),
        "unread-bomb.npz": lambda: zipped({"samples.npy": good, "junk": bytes(GIGABYTE // 8)}),
        "text.safetensors": lambda: safetensors(
            {
                "__metadata__": {"modality": "points", "note": str(canary)},
                **tensor([99, 2], 0, 792),
            },
            bytes(792),
        ),
    }


def _record(data: bytes, name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(next(n for n in archive.namelist() if n.endswith(name)))


def _lying(data: bytes) -> bytes:
    """Its directory says that an entry holds four gigabytes."""
    at = data.rindex(b"PK\x01\x02")
    return data[: at + 24] + struct.pack("<I", 0xFFFFFFF0) + data[at + 28 :]
