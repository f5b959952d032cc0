"""A logger whose tool never answers, wherever it is asked: one line, and the same rows."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confined import confined
from corridor import call, comparable, in_this_process, write_suite

from genbench.loggers import tool

HANG = "import threading; threading.Event().wait()"
SOUND = """
import sys, types

class MlflowClient:
    def get_experiment_by_name(self, name):
        return types.SimpleNamespace(experiment_id="0")
    def create_run(self, experiment, run_name):
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id="0"))
    def log_param(self, run, name, value):
        pass
    def log_batch(self, run, metrics):
        pass
    def set_terminated(self, run, status):
        pass

for name, parts in (("entities", ["Metric"]), ("exceptions", ["MlflowException"])):
    module = types.ModuleType(f"mlflow.{name}")
    for part in parts:
        setattr(module, part, type(part, (Exception,), {}))
    sys.modules[module.__name__] = module
"""


def hanging(method: str) -> str:
    before, name, after = SOUND.partition(f"def {method}(")
    signature, _, rest = after.partition("\n")
    return f"{before}{name}{signature}\n        {HANG}\n{rest}"


TOOLS = {
    "its import": f"{SOUND}\n{HANG}\n",
    "its constructor": SOUND.replace(
        "    def get", f"    def __init__(self):\n        {HANG}\n    def get", 1
    ),
    "its beginning": hanging("create_run"),
    "its parameters": hanging("log_param"),
    "its metrics": hanging("log_batch"),
    "its end": hanging("set_terminated"),
}


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a package ``mlflow`` that is not MLflow."""
    folder = tmp_path / "packages" / "mlflow"
    folder.mkdir(parents=True)
    gone = [
        n for n in sys.modules if n.partition(".")[0] == "mlflow" or n == "genbench.loggers.mlflow"
    ]
    for name in gone:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(folder.parent))
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / "cache"))  # one that hangs keeps its lock
    yield folder
    for name in [n for n in sys.modules if n.partition(".")[0] == "mlflow"]:
        del sys.modules[name]
    sys.modules.pop("genbench.loggers.mlflow", None)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    with in_this_process():
        assert call("run", write_suite(folder), "--out", folder / "out").exit_code == 0
    return folder / "out"


def run(out: Path) -> dict[str, Any]:
    """In a child: what hangs there keeps nothing of this process, such as the lock of an import."""
    with in_this_process():
        suite = write_suite(out.parent)
        (told,) = confined(lambda: call("run", suite, "--out", out, "--logger", "mlflow"))
    assert told["exit"] == 0, told
    return told


@pytest.mark.parametrize("where", TOOLS)
def test_a_run(
    where: str, fake: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fake / "__init__.py").write_text(TOOLS[where], encoding="utf-8")
    monkeypatch.setattr(tool, "TIMEOUT", 0.3)
    told = run(tmp_path / "out")
    assert comparable(tmp_path / "out") == comparable(undisturbed)
    assert told["stderr"].count("mlflow: no answer for 0.3 s; nothing more of toy") == 1


def test_a_sound_one_is_not_given_up(
    fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fake / "__init__.py").write_text(SOUND, encoding="utf-8")
    monkeypatch.setattr(tool, "TIMEOUT", 10.0)
    assert "mlflow" not in run(tmp_path / "out")["stderr"]


def test_a_command_that_leaves_a_thread_behind_ends(fake: Path, tmp_path: Path) -> None:
    """One that is no daemon, in the process of the job: it is ended with it."""
    left = "import threading\nthreading.Thread(target=threading.Event().wait).start()\n"
    (fake / "__init__.py").write_text(SOUND + left, encoding="utf-8")
    command = [sys.executable, "-m", "genbench", "run", str(write_suite(tmp_path))]
    toy = Path(__file__).parents[1] / "plugins" / "toy.py"
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "out"), "--logger", "mlflow", "--plugin", str(toy)],
        env={**os.environ, "PYTHONPATH": str(fake.parent), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert [row["status"] for row in comparable(tmp_path / "out")] == ["done"] * 3
