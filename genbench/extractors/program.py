"""Any network as an extractor: a program that ``torch.export.save`` wrote (``.pt2``)."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.export.passes import move_to_device_pass

from genbench.api import Features, SampleSpec
from genbench.api.errors import DataError
from genbench.devices.hardware import full_float32
from genbench.extractors.weights import brief
from genbench.store import read_regular

_DATA_ALONE = re.compile(
    r"archive_(format|version)|byteorder|(\.data/)?version|\.format_version"
    r"|\.data/serialization_id"
    r"|models/model\.json|extra/.*"
    r"|data/weights/(model_weights_config\.json|weight_\d+)"
    r"|data/constants/(model_constants_config\.json|tensor_\d+)"
    r"|data/sample_inputs/model\.pt"
)
"""The records of a program whose weights and constants are plain tensors. Any other record may be a
pickle or a compiled library."""


class Program:
    """An exported program and its one input, float32 ``(B, *shape)`` in [0, 1]."""

    resize = "none"

    def __init__(self, id: str, program: ExportedProgram, shape: tuple[int | None, ...]) -> None:
        """``shape``: of one sample; ``None`` for an axis of which the program takes any length."""
        self.id = id
        self._shape = shape
        self._program = program
        self._network: nn.Module = program.module()
        self._device = torch.device("cpu")

    def supports(self, spec: SampleSpec) -> str | None:
        fits = len(spec.shape) == len(self._shape) and all(
            wanted in (None, given) for wanted, given in zip(self._shape, spec.shape, strict=True)
        )
        if spec.levels is not None and fits:
            return None
        wanted = ", ".join("any" if length is None else str(length) for length in self._shape)
        return (
            f"the program sees samples of shape ({wanted}) in levels, "
            f"not {spec.modality} of shape {spec.shape} with {spec.levels} levels"
        )

    def to(self, device: torch.device | str) -> Program:
        self._device = torch.device(device)
        self._program = move_to_device_pass(self._program, self._device)
        self._network = self._program.module()
        return self

    @torch.no_grad()
    def __call__(self, stored: Tensor, spec: SampleSpec) -> Features:
        """The program's outputs: ``features``, ``(B, D)``, and any others that it names.

        Raises ``DataError`` if it returns no features of that shape.
        """
        assert spec.levels is not None
        with full_float32():
            given = self._network(stored.to(self._device).float() / (spec.levels - 1))
        named: Features = given if isinstance(given, Mapping) else {"features": given}
        features = named.get("features")
        if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != len(stored):
            raise DataError(f"{self.id} returns no features (B, D), alone or in a dictionary")
        return named


def program(*, path: str) -> Program:
    """A program saved by ``torch.export.save``: features, or features and logits, by any network.

    ``path``: the ``.pt2`` file. Its input is float32 ``(B, *shape)``, levels scaled to [0, 1], with
    a batch of any length: export it in evaluation mode, with
    ``dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)``. It returns features ``(B, D)``, or a
    dictionary with ``features`` and, if it has any, ``logits``.

    A program is code, as a plugin is: load none that you do not trust. Pickled parts are refused,
    but torch builds and runs Python from the rest.

    Raises ``DataError`` if the file cannot be read, holds pickled or compiled code, or takes
    another input.
    """
    where = Path(path)
    try:
        data = read_regular(where)
    except OSError as error:
        raise DataError(f"cannot read {where}: {error.strerror or error}") from error
    try:
        reason = _code_in(data)
    except Exception as error:  # the file may hold anything
        raise DataError(f"{where}: not a program of torch.export.save ({brief(error)})") from error
    if reason is not None:
        raise DataError(f"{where}: {reason}")
    try:
        with _quiet():
            loaded = torch.export.load(io.BytesIO(data))
    except Exception as error:
        raise DataError(f"{where}: cannot be loaded ({brief(error)})") from error
    shape = _input_shape(where, loaded)
    return Program(f"program@{hashlib.sha256(data).hexdigest()[:12]}", loaded, shape)


def _code_in(data: bytes) -> str | None:
    """The reason why loading a program would unpickle or link something; or ``None``."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for entry in archive.infolist():  # not by name: a name may stand there twice
            record = entry.filename.partition("/")[2]
            if not _DATA_ALONE.fullmatch(record):
                return f"holds {record or entry.filename}, which may be code"
            if record.endswith("_config.json"):
                tensors: dict[str, dict[str, Any]] = json.loads(archive.read(entry))["config"]
                pickled = [name for name, tensor in tensors.items() if tensor["use_pickle"]]
                if pickled:
                    return f"holds {pickled[0]} as a pickle, which may be code"
            if record == "data/sample_inputs/model.pt":
                # If it cannot be read safely, torch would read it again and run code.
                torch.load(io.BytesIO(archive.read(entry)), weights_only=True)
    return None


def _input_shape(path: Path, loaded: ExportedProgram) -> tuple[int | None, ...]:
    """The shape of one sample. Raises ``DataError`` unless the only input is a float32 batch of any
    length."""
    names = loaded.graph_signature.user_inputs
    inputs = [node.meta["val"] for node in loaded.graph.nodes if node.name in names]
    x = inputs[0] if len(names) == len(inputs) == 1 else None
    if not isinstance(x, Tensor) or x.dtype != torch.float32 or x.ndim == 0:
        raise DataError(f"{path}: its input is not one float32 tensor")
    batch, *shape = x.shape
    if isinstance(batch, int):
        raise DataError(
            f"{path}: takes {batch} samples at a time; export it with "
            "dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)"
        )
    return tuple(length if isinstance(length, int) else None for length in shape)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's log of the traceback, since torch raises the error too."""
    logger = logging.getLogger("torch.export")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
