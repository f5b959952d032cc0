"""What genbench does on a GPU: whether it works there, how fast it is, and a head-to-head.

    python tests/performance/gpu.py --out DIR [--tiny] [--data-dir DIR] [PART…]

Each figure is a line of DIR/measured.jsonl as soon as it is known, and the table of all that DIR
holds is printed last: parts can be run one by one, and what is cut off keeps what it has. The
head-to-head is a run of genbench, which goes on where it stopped; `archive` packs its records and
page without the weights. `--tiny` only tries that everything runs, on the CPU too.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click
import torch
from embedding import SPEC, random_network
from networks import TINY, Scale, Setting, autocast, counted, diffusers, ours
from torch import Tensor

from genbench.extractors.inception import FidInception, build_network
from genbench.extractors.resize import LEGACY
from genbench.extractors.rgb import RgbExtractor

PARTS = ("works", "throughput", "fashion-mnist", "archive")
PRECISIONS = ("float32", "bfloat16")
MEASURED = "measured.jsonl"
WEIGHTS = ("snapshots", "checkpoint")
"""What an archive leaves out, as parts of names."""

CIFAR10 = Scale(
    side=32,
    channels=(128, 256, 256, 256),
    blocks=2,
    batch=128,
    steps=10,
    rounds=7,
    product=8192,
    settings=(Setting(), Setting(compiled=True)),
)
"""The network of Ho et al. 2020 for CIFAR-10: 35.7 M parameters."""
FASHION = replace(CIFAR10, side=28, channels=(64, 128, 128), batch=256, colours=1)


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    part: str
    what: str
    value: float
    unit: str
    peer: float | None = None
    note: str = ""
    card: str = ""
    torch: str = torch.__version__


@click.command(help=__doc__)
@click.argument("parts", nargs=-1, metavar="[PART]…", type=click.Choice(PARTS))
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--tiny", is_flag=True, help="Sizes that measure nothing.")
@click.option("--data-dir", type=click.Path(path_type=Path), default=Path("data"))
@click.option(
    "--examples", type=int, default=4_000_000, help="Budget of each training of the head-to-head."
)
def main(parts: tuple[str, ...], out: Path, tiny: bool, data_dir: Path, examples: int) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not tiny:
        raise click.UsageError("there is no GPU here; --tiny tries the script without one")
    out.mkdir(parents=True, exist_ok=True)
    for part in parts or PARTS:
        if part == "works":
            keep(out, device, works(device, tiny))
        elif part == "throughput":
            keep(out, device, throughput(device, tiny))
        elif part == "archive":
            archive(out)
        else:
            head_to_head(part, out, data_dir, examples, tiny)
    print(table(out))


def keep(out: Path, device: str, figures: Iterator[Figure]) -> None:
    """Write each as it comes, with the card that it was measured on."""
    card = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    for figure in figures:
        with (out / MEASURED).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(replace(figure, card=card))) + "\n")
        print(f"{figure.what}: {figure.value:.4g} {figure.unit} {figure.note}", flush=True)


def table(out: Path) -> str:
    """All that was measured so far, the last of each figure, in Markdown."""
    path = out / MEASURED
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    latest = {}
    for line in lines:
        figure = Figure(**json.loads(line))
        latest[figure.part, figure.what, figure.card] = figure
    rows = ["| | measured | peer | ratio | card, torch | |", "|---|---:|---:|---:|---|---|"]
    for each in latest.values():
        peer, ratio = "", ""
        if each.peer is not None:
            peer, ratio = f"{each.peer:.4g}", f"{each.value / each.peer:.2f}"
        cells = [each.what, f"{each.value:.4g} {each.unit}", peer, ratio]
        rows.append(f"| {' | '.join([*cells, f'{each.card}, {each.torch}', each.note])} |")
    return "\n".join(rows)


# --- It works there. ---


def works(device: str, tiny: bool) -> Iterator[Figure]:
    """How far the device's numbers are from those that they should be: relative differences."""
    scale = replace(TINY if tiny else FASHION, device=device)
    on_cpu = loss(replace(scale, device="cpu"), "float32", compiled=False)
    eager = {precision: loss(scale, precision, compiled=False) for precision in PRECISIONS}
    yield difference("loss, float32 against the CPU's", eager["float32"], on_cpu, 1e-3)
    yield difference("loss, bfloat16 against float32", eager["bfloat16"], eager["float32"], 0.02)
    for precision in PRECISIONS:
        compiled = loss(scale, precision, compiled=True)
        what = f"loss, {precision}, compiled against eager"
        yield difference(what, compiled, eager[precision], 1e-2)
    pictures = torch.randint(0, 256, (2 if tiny else 64, *SPEC.shape)).byte()
    network = random_network()

    def features(where: str) -> Tensor:
        extractor = RgbExtractor(
            "inception", LEGACY, lambda: (FidInception(build_network(network.state_dict())), "")
        ).to(where)
        return extractor(pictures.to(where), SPEC)["features"].cpu()

    expected = features("cpu")
    apart = float((features(device) - expected).abs().max() / expected.abs().max())
    what = "Inception features against the CPU's"
    yield Figure("works", what, apart, "relative", note=judged(apart, 1e-3))


def loss(scale: Scale, precision: str, *, compiled: bool) -> float:
    """Of one batch that is the same everywhere: drawn on the CPU from one seed."""
    torch.manual_seed(0)
    network = ours(replace(scale, device="cpu"), precision).network
    with torch.no_grad():
        for parameter in network.parameters():  # some begin at zero
            parameter.normal_(std=0.02)
    network.to(scale.device)
    x = torch.randn(scale.batch, *scale.shape).to(scale.device)
    t = torch.linspace(0, 1, scale.batch).to(scale.device)
    if compiled:
        network.compile()
    with torch.no_grad(), autocast(precision, scale.device):
        out = network(x, t)
    return float((out.float() - x).square().mean())


def difference(what: str, value: float, expected: float, tolerance: float) -> Figure:
    apart = abs(value - expected) / abs(expected)
    return Figure("works", what, apart, "relative", note=judged(apart, tolerance))


def judged(apart: float, tolerance: float) -> str:
    return f"{'within' if apart <= tolerance else 'BEYOND'} {tolerance:g}"


# --- How fast it is. ---


def throughput(device: str, tiny: bool) -> Iterator[Figure]:
    """Training and DDIM sampling against diffusers in the best of its settings, with the same
    attention heads, and the share of the rate of a large matrix product."""
    scales = {"tiny": TINY} if tiny else {"CIFAR-10 U-Net": CIFAR10, "Fashion-MNIST U-Net": FASHION}
    for name, scale in scales.items():
        for precision in PRECISIONS:
            yield from rates(name, replace(scale, device=device), precision)


def rates(name: str, scale: Scale, precision: str) -> Iterator[Figure]:
    peak = products(scale, precision)
    mine = {it: ours(scale, precision, compiled=it.compiled) for it in scale.settings}
    head = scale.channels[1]
    theirs = {it: diffusers(scale, precision, it, head=head) for it in scale.settings}
    flops = counted(ours(scale, precision).step) / scale.batch
    for what in ("training", "DDIM"):
        found = []
        for its in (mine, theirs):
            runs = {
                it: each.step if what == "training" else each.sample for it, each in its.items()
            }
            seconds = {it: median(run, scale) for it, run in runs.items()}
            found.append(min((spent, str(it)) for it, spent in seconds.items()))
        (spent, how), (peer, peer_how) = found
        rate = scale.batch / spent
        share = f"{rate * flops / peak:.0%} of the matrix products' rate"
        note = f"ours {how}, diffusers {peer_how}; "
        note += share if what == "training" else f"{scale.steps} steps"
        figure = Figure("throughput", f"{name}, {what}, {precision}", rate, "images/s")
        yield replace(figure, peer=scale.batch / peer, note=note)


def median(run: Callable[[], object], scale: Scale) -> float:
    """Seconds of one call, the median of some after two that warm it up."""
    seconds = []
    for number in range(scale.rounds + 2):
        wait(scale.device)
        start = time.perf_counter()
        run()
        wait(scale.device)
        if number >= 2:
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def products(scale: Scale, precision: str) -> float:
    """FLOPs a second of the product of two square matrices, in the precision of autocast."""
    side = scale.product
    a, b = torch.randn(2, side, side, device=scale.device).to(getattr(torch, precision))
    return 2 * side**3 / median(lambda: torch.mm(a, b), scale)


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


# --- Head to head. ---


def head_to_head(suite: str, out: Path, data_dir: Path, examples: int, tiny: bool) -> None:
    """Three seeds of a suite, or what is left of them: a run that is cut off goes on next time."""
    budget = {"examples": examples, "samples": 2000}
    if tiny:
        small = {"score.snapshots.count": 1, "score.snapshots.samples": 32}
        budget = {"examples": 512, "samples": 32} | small
    command = [sys.executable, "-m", "genbench", "run", suite, "--seeds", "0" if tiny else "0,1,2"]
    command += ["--out", str(out / suite), "--data-dir", str(data_dir), *overrides(budget)]
    subprocess.run(command, check=True)


def overrides(values: Mapping[str, int]) -> list[str]:
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]


def archive(out: Path) -> None:
    """Pack records, samples and pages."""
    path = out / "results.tar.gz"
    with tarfile.open(path, "w:gz") as packed:
        for file in sorted(out.rglob("*")):
            if file.is_file() and file != path and not any(part in str(file) for part in WEIGHTS):
                packed.add(file, file.relative_to(out))
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
