"""Time to quality: wall-clock of training until 500 samples lie within a fixed Fréchet distance of
the real digits, against denoising-diffusion-pytorch's own Trainer.

Ours is the quickstart's DDPM, with the default learning rate, through the whole training loop.
Theirs is its U-Net of the same width and multipliers, in both of its settings below: the learning
rate, batch and EMA of its README, and ours of the first two. Sampling and scoring are the same for
both (DDIM, 25 steps; averaged weights; the ``digits`` extractor) and outside the clock. One thread
each, besides the two processes by which the Trainer reads its pictures.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from denoising_diffusion_pytorch import GaussianDiffusion, Trainer, Unet
from lightning_fabric import Fabric
from PIL import Image
from ratio import Ratio
from torch import Tensor

import genbench
from baselines.ddpm import Ddpm, ddpm
from baselines.networks import NetworkOptions
from genbench import sampling
from genbench.api import SampleSpec, TensorSamples
from genbench.data.digits import digits
from genbench.training import checkpoint, loop

STEPS, LEVELS, BATCH = 25, 17, 32
TARGET = 0.5
"""Of their seconds: twice as soon."""
PATIENCE = 3
"""Times our seconds, after which theirs is given up."""


@dataclass(frozen=True)
class Scale:
    within: float
    """The Fréchet distance to reach; that of real digits is about 0.012."""
    examples: int
    """Of our training."""
    looks: int
    """At the samples of our training, equally spaced; theirs is looked at after as many images."""
    samples: int
    seeds: tuple[int, ...]


FULL = Scale(within=0.2, examples=60_000, looks=12, samples=500, seeds=(0, 1, 2))
TINY = Scale(within=1e9, examples=128, looks=1, samples=100, seeds=(0,))


@dataclass(frozen=True)
class Setting:
    """How their Trainer is told to train; the remaining arguments are its defaults."""

    name: str
    batch: int
    accumulate: int
    learning_rate: float


SETTINGS = (
    Setting("its README's settings", batch=32, accumulate=2, learning_rate=8e-5),
    Setting("our learning rate and batch", batch=BATCH, accumulate=1, learning_rate=3e-3),
)


def measure(tiny: bool = False) -> Iterator[Ratio]:
    """Seconds until the distance is reached: the median over seeds, of their better setting. How
    each training went stands on standard error when it has ended."""
    scale = TINY if tiny else FULL
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    mine = [announced("ours", seed, reached(ours(scale, seed), scale)) for seed in scale.seeds]
    patience = PATIENCE * median(look.seconds for look in mine)
    theirs = {
        setting: [
            announced(
                f"Trainer, {setting.name}",
                seed,
                reached(peer(scale, setting, seed), scale, patience),
            )
            for seed in scale.seeds
        ]
        for setting in SETTINGS
    }
    torch.set_num_threads(threads)
    best = min(SETTINGS, key=lambda it: median(look.cost for look in theirs[it]))
    yield Ratio(
        f"Seconds to a Fréchet distance of {scale.within:g} on digits",
        median(look.cost for look in mine),
        median(look.cost for look in theirs[best]),
        "s",
        False,
        TARGET,
        f"ours: {told(mine)}; denoising-diffusion-pytorch's Trainer, "
        + "; ".join(f"{setting.name}: {told(theirs[setting])}" for setting in SETTINGS),
    )


@dataclass(frozen=True)
class Look:
    """What a training had come to when it was last looked at."""

    seconds: float
    examples: int
    distance: float
    arrived: bool

    @property
    def cost(self) -> float:
        """Seconds, or infinitely many where the distance was not reached."""
        return self.seconds if self.arrived else float("inf")


def announced(who: str, seed: int, look: Look) -> Look:
    """The same look, once it is printed."""
    print(f"{who}, seed {seed}: {told([look])}", file=sys.stderr, flush=True)
    return look


def told(looks: list[Look]) -> str:
    return ", ".join(
        f"{look.examples:,} images in {look.seconds:.0f} s"
        if look.arrived
        else f"still {look.distance:.2f} after {look.examples:,} images and {look.seconds:.0f} s"
        for look in looks
    )


def reached(
    looks: Iterator[tuple[float, int, Tensor]], scale: Scale, patience: float = float("inf")
) -> Look:
    """The first look within the distance or after ``patience`` seconds, or the last."""
    for seconds, images, samples in looks:
        distance = frechet_distance(samples)
        look = Look(seconds, images, distance, distance <= scale.within)
        if look.arrived or seconds > patience:
            break
    return look


def frechet_distance(stored: Tensor) -> float:
    """Of ``(N, 1, 8, 8)`` uint8 in 0…16 to the test half."""
    reference = digits("test", Path())
    samples = TensorSamples(reference.spec, "samples", stored, {})
    scores = genbench.evaluate(samples, reference, extractor="digits", metrics=["frechet_distance"])
    return scores.values["frechet_distance"].value


def ours(scale: Scale, seed: int) -> Iterator[tuple[float, int, Tensor]]:
    """The whole training at once, for its learning rate falls over the budget; the seconds of each
    snapshot are those at which it lay on the disk."""
    data = digits("train", Path())
    spec = data.spec
    plan = loop.TrainingConfig(
        steps=scale.examples // BATCH,
        batch=BATCH,
        ema_halflife=5_000,
        snapshots=scale.looks,
        seed=seed,
    )
    fabric = Fabric(accelerator="cpu", devices=1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = time.time()
        outcome = loop.train(fabric, lambda: build(spec), data, plan, folder, lambda _: None)
        for images in outcome.snapshots[1:]:
            seconds = checkpoint.snapshot_path(folder, images, "ema").stat().st_mtime - start
            model = build(spec)
            model.load_state_dict(checkpoint.load_snapshot(folder, images, "ema"))
            options = {"sampler": "ddim", "steps": STEPS}
            drawn = sampling.draw(
                fabric,
                model,
                spec,
                count=scale.samples,
                seed=seed,
                options=options,
                report=lambda _: None,
            )
            yield seconds, images, drawn.data


def build(spec: SampleSpec) -> Ddpm:
    network = NetworkOptions(channels=24)
    return ddpm(spec, timesteps=100, schedule="cosine", prediction="v", network=network)


def peer(scale: Scale, setting: Setting, seed: int) -> Iterator[tuple[float, int, Tensor]]:
    data = digits("train", Path())
    torch.manual_seed(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "digits")
        folder.mkdir()
        pictures = data.take(torch.arange(len(data))).data
        for number, picture in enumerate((pictures.float() * 255 / (LEVELS - 1)).round().byte()):
            Image.fromarray(picture[0].numpy()).save(folder / f"{number}.png")
        trainer = Trainer(
            GaussianDiffusion(
                Unet(dim=24, dim_mults=(1, 2), channels=1), image_size=8, sampling_timesteps=STEPS
            ),
            str(folder),
            train_batch_size=setting.batch,
            gradient_accumulate_every=setting.accumulate,
            train_lr=setting.learning_rate,
            augment_horizontal_flip=False,
            calculate_fid=False,
            train_num_steps=0,
            save_and_sample_every=10**9,
            results_folder=name,
        )
        step = setting.batch * setting.accumulate  # in images
        seconds = 0.0
        while True:
            trainer.train_num_steps += scale.examples // scale.looks // step
            start = time.perf_counter()
            with silence():
                trainer.train()
            seconds += time.perf_counter() - start
            network = trainer.ema.ema_model.eval()
            with torch.inference_mode(), silence():
                pixels = network.sample(batch_size=scale.samples)  # in [0, 1]
            yield seconds, trainer.step * step, (pixels * (LEVELS - 1)).round().byte()


@contextmanager
def silence() -> Iterator[None]:
    """Their bars and their notes are not part of our output."""
    with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere), redirect_stdout(nowhere):
        yield
