"""Several devices, as two processes of a CPU: the same numbers as one, and deaths are told.

Run as a script, this file is what torchrun starts: the trainings that one of its tests replays.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner, Result
from lightning_fabric import Fabric

from genbench import experiment, registry
from genbench.api import Batch, PlayerStep, Progress
from genbench.api.errors import UsageError
from genbench.api.seeding import seed_all
from genbench.cli import main
from genbench.data import open_samples
from genbench.devices import ranks as ranks_module
from genbench.devices.hardware import Hardware
from genbench.devices.launch import on_ranks
from genbench.devices.ranks import Ranks
from genbench.store.records import read_records
from genbench.suite import Training
from genbench.training import batches, loop

TOY = Path(__file__).parents[1] / "plugins" / "toy.py"
STEPS, BATCH = 12, 16
CONTESTANTS: dict[str, dict[str, Any]] = {
    "ddpm": {"timesteps": 50, "channels": 4},
    "gan": {"channels": 2, "r1_interval": 2},
}
Precision = Literal["32-true", "bf16-mixed"]
PRECISIONS: tuple[Precision, ...] = ("32-true", "bf16-mixed")


def training(model: str, precision: Precision) -> Training:
    return Training(
        model=model,
        options=CONTESTANTS[model],
        dataset="digits",
        examples=STEPS * BATCH,
        batch=BATCH,
        ema_halflife=100,
        precision=precision,
        threads=1,
        snapshots=2,
        seed=3,
    )


def train_all(out: Path) -> None:
    """Every contestant in every precision, in the processes that are there."""
    torch.set_num_threads(1)
    hardware = Hardware(Path("data"), "cpu", devices=2)
    for precision in PRECISIONS:
        ranks = Ranks(hardware.fabric(precision))
        for model in CONTESTANTS:
            what = training(model, precision)
            experiment.train(
                ranks, hardware, what, out / f"{model} {precision}", lambda event: None
            )
    fail_together_then_alone(ranks, out)


def fail_together_then_alone(ranks: Ranks, out: Path) -> None:
    ranks.barrier(ValueError("in both"))
    ranks_module.SETTLE_TIMEOUT = timedelta(seconds=2)
    if ranks.rank == 0:
        time.sleep(4)  # anywhere else
    else:
        try:
            ranks.barrier(ValueError("in one"))
        except ranks_module.OutOfStep as error:
            (out / "alone.txt").write_text(str(error), encoding="utf-8")
    os._exit(0)


def torchrun(*arguments: str | Path, nodes: int = 1) -> list[subprocess.CompletedProcess[str]]:
    """Two processes: on one node, or one on each of two. Every node has its torchrun."""
    each = ["--nproc-per-node", str(2 // nodes), "--nnodes", str(nodes)]
    with_port = ["--master-addr", "127.0.0.1", "--master-port", str(29400 + os.getpid() % 500)]
    agents = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "torch.distributed.run", *each, *with_port),
                *("--node-rank", str(node), *map(str, arguments)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        for node in range(nodes)
    ]
    ended = []
    for agent in agents:
        out, err = agent.communicate(timeout=400)
        ended.append(subprocess.CompletedProcess(agent.args, agent.returncode, out, err))
    return ended


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("devices")
    (done,) = torchrun(__file__, out)
    assert done.returncode == 0, done.stderr
    return out


def replay(model_name: str, precision: Precision) -> pd.DataFrame:
    """The training of two ranks in one process: each rank's part with its seed, in turns,
    and the gradients averaged. Written from the definition, without the loop."""
    what = training(model_name, precision)
    data = open_samples("digits:train", Path("data"))
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    seed_all(what.seed, "init")
    model = registry.call(registry.models.get(model_name), data.spec, **what.options)
    model.train()
    optimizers: dict[str, Any] = {}
    for name in list(model.players):
        player = model.players[name]
        optimizer = model.optimization(name).optimizer(player.named_parameters())
        model.players[name], optimizers[name] = fabric.setup(player, optimizer)
    order = batches.EpochSampler(len(data), BATCH, what.seed)
    rows = []
    for step in range(STEPS):
        progress = Progress(step, step * BATCH, STEPS * BATCH)
        ranks = [_Rank(model, data, order.indices(step), what.seed, step, rank) for rank in (0, 1)]
        for turns in zip(*(rank.turns(progress) for rank in ranks), strict=True):
            player = turns[0].player
            how = model.optimization(player)
            for group in optimizers[player].param_groups:
                group["lr"] = optimizers[player].defaults["lr"] * how.schedule(progress)
            optimizers[player].zero_grad(set_to_none=True)
            loss = (turns[0].loss + turns[1].loss) / 2
            fabric.backward(loss)
            clip = math.inf if how.clip_norm is None else how.clip_norm
            norm = torch.nn.utils.clip_grad_norm_(model.players[player].parameters(), clip)
            optimizers[player].step()
            rows.append({"player": player, "loss": loss.item(), "gradient_norm": norm.item()})
    return pd.DataFrame(rows)


class _Rank:
    """One rank's half of a step, with a random stream of its own."""

    def __init__(
        self, model: Any, data: Any, indices: torch.Tensor, seed: int, step: int, rank: int
    ) -> None:
        self.model = model
        taken = data.take(indices[rank::2])
        self.batch = Batch(data.spec.encode(taken.data), taken.condition)
        seed_all(seed, "train", step, rank)
        self.state = torch.get_rng_state()

    def turns(self, progress: Progress) -> Iterator[PlayerStep]:
        generator = self.model.losses(self.batch, progress)
        while True:
            torch.set_rng_state(self.state)
            turn = next(generator, None)
            self.state = torch.get_rng_state()
            if turn is None:
                return
            yield turn


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("model", CONTESTANTS)
def test_two_ranks_are_one_process_that_averages(
    trained: Path, model: str, precision: Precision
) -> None:
    """And so their parameters are in step: a gradient of other weights would show in the curve."""
    history = pd.read_csv(trained / f"{model} {precision}" / "history.csv")
    expected = replay(model, precision)
    assert list(history.player) == list(expected.player)
    # The sum in a gradient's norm has another order in DDP's memory. Where it clips, weights differ
    # in the last bit, which bf16 may round to values 2⁻⁸ apart.
    rounded = precision == "bf16-mixed"
    tolerance = 2e-4 if rounded and model == "ddpm" else 1e-5
    np.testing.assert_allclose(history.loss, expected.loss, rtol=tolerance)
    tolerance = 2e-2 if rounded else 1e-4
    np.testing.assert_allclose(history.gradient_norm, expected.gradient_norm, rtol=tolerance)


def test_a_rank_that_fails_alone_does_not_wait_for_ever(trained: Path) -> None:
    told = (trained / "alone.txt").read_text(encoding="utf-8")
    assert told == "rank 1 of 2 failed alone: ValueError: in one"


def call(*arguments: str | Path) -> Result:
    registry.add_plugin_file(TOY)
    return CliRunner().invoke(main, [*map(str, arguments)], catch_exceptions=False)


def test_samples_and_scores_are_those_of_one_process(trained: Path, tmp_path: Path) -> None:
    """Bit for bit: 3 blocks for two devices, the last one cut, and a last batch of features too."""
    samples, scores = [], []
    for devices in ("1", "2"):
        run, file = tmp_path / f"run{devices}", tmp_path / f"{devices}.npz"
        shutil.copytree(trained / "ddpm 32-true", run)
        shutil.rmtree(run / "samples", ignore_errors=True)
        where = ["--devices", devices]
        drawn = call("sample", run, "--count", "150", "--out", file, *where)
        assert drawn.exit_code == 0, drawn.output
        samples.append(np.load(file)["samples"])
        against = ["--against", "digits:test", "--train", "digits", "--extractor", "digits"]
        scored = call("evaluate", file, *against, "--json", *where)
        assert scored.exit_code == 0, scored.output
        scores.append(json.loads(scored.stdout)["values"])
    assert len(samples[0]) == 150
    np.testing.assert_array_equal(*samples)
    assert scores[0] == scores[1]
    assert len(scores[0]) == 9


SUITE = """
title = "Toys"
dataset = "points-ring"
seeds = [0]
examples = 640
samples = 128
[score]
extractor = "identity"
reference = "points-ring:test"
metrics = ["frechet_distance", "recall", "mode_coverage"]
snapshots = { count = 2, samples = 64 }
[train]
batch = 32
[entries.Toy]
model = "toy"
[entries."Fails in sampling"]
model = "faulty"
options = { where = "sample" }
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "toys.toml"
    path.write_text(SUITE, encoding="utf-8")
    return path


def rows(out: Path) -> dict[str, tuple[Any, ...]]:
    return {
        r.entry: (r.status, r.reason, {name: r.value(name) for name in r.scores})
        for r in read_records(out)
    }


@pytest.mark.timeout(900)  # a dozen processes, each of which imports torch
def test_a_suite_is_the_same_however_its_processes_start(suite: Path, tmp_path: Path) -> None:
    """Started here, by torchrun on one node, and by torchrun on two; a fault of a plugin costs its
    own row in each."""
    outs = [tmp_path / name for name in ("here", "one node", "two nodes")]
    shared = ["--plugin", TOY, "--jobs", "1"]
    done = call("run", suite, "--out", outs[0], "--devices", "2", *shared)
    assert done.exit_code == 1, done.output  # of the entry that fails
    for out, nodes in ((outs[1], 1), (outs[2], 2)):
        command = ["-m", "genbench", "run", suite, "--out", out, *shared]
        spread = ["--devices", str(2 // nodes), "--num-nodes", str(nodes)]
        ended = torchrun(*command, *spread, nodes=nodes)
        said = "".join(agent.stderr for agent in ended)
        assert said.count("Toy · seed 0: done") == 1, said  # by one process alone
    first = rows(outs[0])
    assert first["Toy"][0] == first["real"][0] == "done"
    assert first["Fails in sampling"][:2] == ("failed", "ZeroDivisionError: a bug in sampling")
    assert rows(outs[1]) == first
    assert rows(outs[2]) == first


def test_under_slurm(suite: Path, tmp_path: Path) -> None:
    """Two tasks as srun would start them, by the variables that it sets."""
    tasks = []
    for rank in ("0", "1"):
        slurm = {
            "SLURM_JOB_ID": str(1000 + os.getpid() % 20000),
            "SLURM_JOB_NAME": "genbench",
            "SLURM_NODELIST": "127.0.0.1",
            "SLURM_NNODES": "1",
            "SLURM_NODEID": "0",
            "SLURM_NTASKS": "2",
            "SLURM_NTASKS_PER_NODE": "2",
            "SLURM_PROCID": rank,
            "SLURM_LOCALID": rank,
            "MASTER_ADDR": "127.0.0.1",
            "OMP_NUM_THREADS": "1",
        }
        command = ["train", f"{suite}:Toy", "--plugin", TOY, "--out", tmp_path / "run"]
        tasks.append(
            subprocess.Popen(
                [sys.executable, "-m", "genbench", *map(str, command), "--devices", "2"],
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | slurm,
            )
        )
    said = [task.communicate(timeout=120)[1] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], said
    assert "done after 640 examples" in said[0]
    assert said[1] == ""
    assert loop.read_result(tmp_path / "run")


def test_a_rank_that_dies_is_told_and_the_folder_resumes(tmp_path: Path) -> None:
    """At step 15, once: the same command then ends as the undisturbed training does."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    (tmp_path / "spent").touch()
    command = ["train", "mortal", "points-ring", "--examples", "2560", "--devices", "2"]
    command += ["--plugin", str(TOY)]
    for out, mark, expected in (
        (whole, "spent", 0),
        (broken, "fresh", 1),
        (broken, "fresh", 0),
    ):
        option = f"mark={tmp_path / mark}" if out is broken else f"mark={tmp_path / 'spent'}"
        done = call(*command, "--out", out, "--option", option)
        assert done.exit_code == expected, done.output
        if expected:
            assert re.search(r"genbench: rank 1 of 2 died \(exit code 9\)", done.stderr)
            assert done.stderr.count("\n") == 1, done.stderr
    history = [pd.read_csv(out / "history.csv") for out in (whole, broken)]
    pd.testing.assert_frame_equal(*history)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--devices", "3"], "a batch of 64 cannot be shared evenly by 3 devices"),
        (["--num-nodes", "2"], "--num-nodes 2: start genbench on every node"),
        (["--precision", "16-mixed"], "16-mixed is refused"),
        (["--precision", "16-bit"], "bf16-mixed"),
        (["--strategy", "fsdp"], "fsdp"),
        (["--devices", "0"], "--devices"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_is_told(arguments: list[str], message: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = call("train", "toy", "points-ring", "--out", out, *arguments)
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not out.exists()


def test_a_wrong_number_of_processes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = call("train", "toy", "points-ring", "--out", "run")
    assert done.exit_code == 2
    assert "2 processes were started, but --devices 1 on --num-nodes 1 are 1" in done.stderr


def test_weights_that_part_are_told(tmp_path: Path) -> None:
    """A model that calls a submodule of its player, which DDP cannot see."""
    done = call(
        "train",
        "parting",
        "points-ring",
        "--out",
        tmp_path / "run",
        "--plugin",
        TOY,
        "--devices",
        "2",
    )
    assert done.exit_code == 1, done.output
    assert "the devices' weights differ after" in done.stderr


def test_mistakes_of_work_are_told_as_they_are(tmp_path: Path) -> None:
    """An exception of every rank comes back as itself."""
    hardware = Hardware(tmp_path, "cpu", devices=2)
    with pytest.raises(UsageError, match="unknown dataset"):
        on_ranks(hardware, "32-true", experiment.train, hardware, _lost(), tmp_path / "run")


def _lost() -> Training:
    return Training(**{**vars(training("ddpm", "32-true")), "dataset": "nowhere"})


if __name__ == "__main__":
    train_all(Path(sys.argv[1]))
