"""DDIM: denoising diffusion implicit models (Song, Meng & Ermon 2021), a way to sample a DDPM."""

from __future__ import annotations

from genbench.api import Variant

ddim = Variant(trains="ddpm", sample={"sampler": "ddim", "steps": 50})
