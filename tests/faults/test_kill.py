"""``kill -9`` at any moment of a training: resumed, it is bit for bit the undisturbed one."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from same import assert_same_training

from genbench.training import checkpoint, loop

MODELS = ("ddpm", "score-sde", "gan")
SERVER = Path(__file__).with_name("forks.py")


class Forks:
    """Trainings in processes of their own; see ``forks``."""

    def __init__(self) -> None:
        self.server = subprocess.Popen(
            [sys.executable, str(SERVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def train(
        self, model: str, folder: Path, kill: dict[str, float] | None = None, keep: bool = True
    ) -> Any:
        """``keep``: whether the last state stays, to be compared."""
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        request = {"model": model, "folder": str(folder), "kill": kill, "keep": keep}
        self.server.stdin.write(json.dumps(request) + "\n")
        self.server.stdin.flush()
        answer = json.loads(self.server.stdout.readline())
        assert not answer["failed"], f"{request}: the training failed"
        return answer


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    forks = Forks()
    yield forks
    forks.server.communicate()


@pytest.fixture(scope="module")
def undisturbed(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """By model: where its undisturbed training lies, and how many moments and seconds it took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    found = {model: (folder / model, forks.train(model, folder / model)) for model in MODELS}
    for _, answer in found.values():
        assert answer["moments"] > 200  # the steps and every call of their checkpoints
    return found


@pytest.mark.parametrize("number", range(20))
@pytest.mark.parametrize("model", MODELS)
def test_killed_at_a_random_moment(
    model: str, number: int, forks: Forks, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    """Fourteen times at one of the counted moments, six times by the clock; every second one is
    killed once more while it goes on."""
    whole, answer = undisturbed[model]
    stream = random.Random(f"{model} {number}")

    def moment() -> dict[str, float]:
        if number < 14:
            return {"call": stream.randint(1, answer["moments"])}
        return {"seconds": stream.uniform(0, 0.8 * answer["seconds"])}

    kill, again = moment(), moment()
    while not forks.train(model, tmp_path, kill)["killed"]:
        assert "seconds" in kill  # the clock of a busy machine: earlier, then
        kill["seconds"] /= 2
        shutil.rmtree(tmp_path)
    print(f"{model} killed: {kill}")
    if number % 2:  # what is left may end before
        print(f"{again}: {forks.train(model, tmp_path, again)}")
    forks.train(model, tmp_path)
    assert_same_training(tmp_path, whole)


def test_killed_at_every_call_of_the_end(
    forks: Forks, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    """History, outcome, and the state that goes: at no call is anything of it lost."""
    whole, _ = undisturbed["gan"]
    for call in count(1):
        folder = tmp_path / str(call)
        shutil.copytree(whole, folder)
        for name in (checkpoint.RESULT, checkpoint.HISTORY, f"{checkpoint.HISTORY}.json"):
            (folder / name).unlink()
        killed = forks.train("gan", folder, {"call": call}, keep=False)["killed"]
        forks.train("gan", folder, keep=False)
        for name in ("history.csv", "history.csv.json"):
            assert (folder / name).read_bytes() == (whole / name).read_bytes()
        assert loop.read_result(folder) is not None
        if not killed:
            break
    # Three files of five calls, a metadata that was not there, four files that go.
    assert call == 3 * 5 + 1 + 4 + 1
    assert not list(folder.glob("checkpoint-*"))
