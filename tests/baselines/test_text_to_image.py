"""Pipelines of diffusers: equal to their own call, counted, named by their files, and refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import diffusers
import pytest
import tiny_pipelines
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file, save_file
from torch import Tensor

import genbench
from baselines.pipelines import load, resolve
from baselines.text_to_image import TextToImagePipeline
from baselines.text_to_image import diffusers as contestant
from genbench import registry, sampling
from genbench.api import Batch, Categorical, Progress, SampleSpec, Text
from genbench.api.errors import UsageError
from genbench.data.shapes import SPEC
from genbench.devices.compiling import require_compilable
from genbench.evaluation import evaluate

WORDS = ["a red circle", "two blue stars", "a green cross"] * 4  # more than are drawn at once
MAKERS: Mapping[str, Callable[[Path], Path]] = {
    "stable-diffusion": tiny_pipelines.stable_diffusion,
    "pixart": tiny_pipelines.pixart,
}
each = pytest.mark.parametrize("name", sorted(MAKERS))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: make(tmp_path_factory.mktemp(name) / "pipeline") for name, make in MAKERS.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A Stable Diffusion to change."""
    return tiny_pipelines.stable_diffusion(tmp_path / "pipeline")


def built(folder: Path, spec: SampleSpec = SPEC, **options: Any) -> TextToImagePipeline:
    checked = registry.check_options("model", contestant, {"path": str(folder), **options})
    return contestant(spec, **checked)


def noise_of(model: TextToImagePipeline, count: int = len(WORDS)) -> Tensor:
    stream = torch.Generator().manual_seed(0)
    return torch.randn(count, *model.noise_shape, generator=stream)


@torch.no_grad()
def sampled(model: TextToImagePipeline, words: list[str] = WORDS, **options: Any) -> Tensor:
    torch.manual_seed(1)
    return model.sample(noise_of(model, len(words)), {}, {"caption": words}, **options)


def by_hand(
    folder: Path, noise: Tensor, guidance: float, dtype: torch.dtype, **more: Any
) -> Tensor:
    """The pipeline's own pictures, in [-1, 1], of as many at once."""
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, dtype=dtype)
    pipeline.set_progress_bar_config(disable=True)
    parts = []
    for first in range(0, len(WORDS), 8):
        images = pipeline(
            prompt=WORDS[first : first + 8],
            latents=noise[first : first + 8].to(dtype),
            height=32,
            width=32,
            num_inference_steps=3,
            guidance_scale=guidance,
            output_type="np",
            **more,
        ).images
        parts.append(torch.from_numpy(images).permute(0, 3, 1, 2))
    return torch.cat(parts) * 2 - 1


@each
@pytest.mark.parametrize(
    ("guidance", "dtype"), [(1.0, "float32"), (5.0, "float32"), (5.0, "bfloat16")]
)
def test_equals_the_pipeline_called_by_hand(
    name: str, guidance: float, dtype: str, folders: dict[str, Path]
) -> None:
    model = built(folders[name], dtype=dtype)
    ours = sampled(model, steps=3, guidance=guidance)
    assert (ours.dtype, ours.shape) == (torch.float32, (12, 3, 32, 32))
    assert float(ours.std(dim=0).mean()) > 0.02  # pictures differ
    more = {"use_resolution_binning": False, "clean_caption": False} if name == "pixart" else {}
    theirs = by_hand(folders[name], noise_of(model), guidance, getattr(torch, dtype), **more)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@each
def test_noise_and_words_decide(name: str, folders: dict[str, Path]) -> None:
    model = built(folders[name])
    usual = sampled(model, WORDS[:2], steps=2)
    assert torch.equal(usual, sampled(model, WORDS[:2], steps=2))
    others = sampled(model, ["a red circle", "a green cross"], steps=2)
    assert torch.equal(usual[0], others[0])
    assert not torch.equal(usual[1], others[1])


def drawn(model: TextToImagePipeline, **options: Any) -> sampling.GeneratedSamples:
    return sampling.draw(
        Fabric(accelerator="cpu", devices=1),
        model,
        SPEC,
        count=5,
        seed=0,
        options=options,
        report=lambda event: None,
        given=lambda block: {"caption": torch.ones(64, 17, dtype=torch.int64)},
        texts=lambda block: {"caption": ["a red circle"] * 64},
    )


@each
def test_evaluations_are_counted_and_decoding_apart(name: str, folders: dict[str, Path]) -> None:
    model = built(folders[name])
    plain, guided = drawn(model, steps=2, guidance=1.0), drawn(model, steps=2, guidance=3.0)
    assert (plain.nfe, guided.nfe) == (2, 4)
    networks = (*model.players.values(), model.codec)
    assert plain.parameters == sum(p.numel() for n in networks for p in n.parameters())
    # Of the two, the part that is decoded is the same.
    of_decoding = 2 * plain.flops - guided.flops
    z = torch.zeros(1, *model.noise_shape)
    with torch.utils.flop_counter.FlopCounterMode(display=False) as counter, torch.no_grad():
        model.codec.decode(z)
    assert of_decoding == pytest.approx(counter.get_total_flops(), rel=0.02)
    assert "decode" not in vars(model.codec)
    assert "decode" not in vars(model.codec.vae)


def test_a_scheduler_by_name(folder: Path) -> None:
    """One that draws randomness of its own, in the order in which the pipeline does."""
    model = built(folder)
    own = load(resolve(str(folder)), "float32").scheduler
    ours = sampled(model, steps=3, scheduler="DDPMScheduler")
    assert load(resolve(str(folder)), "float32").scheduler is own
    config = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    (folder / "scheduler" / "scheduler_config.json").write_text(
        json.dumps(config | {"_class_name": "DDPMScheduler"})
    )
    index = json.loads((folder / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", "DDPMScheduler"]
    (folder / "model_index.json").write_text(json.dumps(index))
    torch.manual_seed(1)
    theirs = by_hand(folder, noise_of(model), 7.5, torch.float32)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    with pytest.raises(UsageError, match=r"no scheduler 'DDIMSchedular'; did you mean 'DDIMSch"):
        sampled(model, scheduler="DDIMSchedular")


def test_it_is_named_by_what_is_loaded(folder: Path) -> None:
    named = resolve(str(folder))
    assert named == resolve(named)
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    (folder / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"a variant")
    (folder / "README.md").write_text("another card")
    assert resolve(str(folder)) == named

    def differs() -> None:
        nonlocal named
        assert resolve(str(folder)) != named
        with pytest.raises(UsageError, match=r"another pipeline than .*: its hash is"):
            resolve(named)
        named = resolve(str(folder))

    state = load_file(weights)
    save_file({**state, "conv_out.bias": state["conv_out.bias"] + 1}, weights, {"format": "pt"})
    differs()
    for path in ("scheduler/scheduler_config.json", "tokenizer/tokenizer.json"):
        (folder / path).write_text((folder / path).read_text() + "\n")
        differs()


def test_it_is_neither_compiled_nor_trained(folders: dict[str, Path]) -> None:
    model = built(folders["pixart"])
    with pytest.raises(UsageError, match="it cannot be compiled: its network is called"):
        require_compilable("it", model)
    with pytest.raises(UsageError, match="is sampled, not trained"):
        model.losses(Batch(torch.zeros(1, 3, 32, 32)), Progress(0, 0, 1))


def test_what_it_prints_is_nothing(
    folders: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    """Nor of prompts that are longer than the text encoder reads."""
    load.cache_clear()
    capfd.readouterr()
    sampled(built(folders["stable-diffusion"]), ["a very " + 9 * "long " + "prompt"], steps=1)
    assert capfd.readouterr() == ("", "")


def test_the_codec_is_named_with_its_licence(folders: dict[str, Path]) -> None:
    one, two = (built(folders[name]).codec for name in sorted(MAKERS))
    assert {codec.id.partition("@")[0] for codec in (one, two)} == {"AutoencoderKL"}
    assert [one.licence, two.licence] == ["not stated", "creativeml-openrail-m"]
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    assert one.decode(one.encode(x)).shape == x.shape


def index(**changed: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "model_index.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changed))

    return change


def pickled(folder: Path) -> None:
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(weights), weights.with_suffix(".bin"))
    weights.unlink()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda folder: (folder / "model_index.json").unlink(), "model_index.json cannot be read"),
        (lambda folder: (folder / "model_index.json").write_text("{"), "index.json is not JSON"),
        (index(_class_name=["mine", "Pipeline"]), "is no pipeline of diffusers"),
        (index(_class_name="DDIMSchedulerr"), "'DDIMSchedulerr' is no pipeline of diffusers"),
        (index(unet=["my_networks", "UNet"]), "'unet' is of 'my_networks'; only classes of"),
        (index(_class_name="StableDiffusionImg2ImgPipeline"), "takes no 'height'"),
        (index(_class_name="StableDiffusionInpaintPipeline"), "starts from a picture"),
        (index(_class_name="Kandinsky3Pipeline"), "has no VAE with a UNet or a transformer"),
        (index(_class_name="FluxPipeline"), "a FluxPipeline packs its latents"),
        (pickled, "pipeline: cannot be loaded"),
    ],
)
def test_refused_folders(folder: Path, change: Callable[[Path], Any], told: str) -> None:
    change(folder)
    with pytest.raises(UsageError) as caught:
        built(folder)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("component", ["unet", "vae", "text_encoder"])
def test_missing_weights_are_never_drawn_at_random(component: str, folder: Path) -> None:
    (weights,) = (folder / component).glob("*.safetensors")
    state = load_file(weights)
    name = sorted(state)[-1]
    del state[name]
    save_file(state, weights, {"format": "pt"})
    with pytest.raises(UsageError, match=f"{component}: not the weights of a .*: 1 are missing, "):
        built(folder)


TEXTS = {"caption": Text(17, 30)}


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (SampleSpec("image", (1, 32, 32), condition=TEXTS), "draws RGB pictures, not image of"),
        (SampleSpec("points", (2,), None, TEXTS), "draws RGB pictures, not points of shape"),
        (SampleSpec("image", (3, 32, 32)), "needs one text among the conditions; they are: none"),
        (
            SampleSpec("image", (3, 32, 32), condition={"label": Categorical(2)}),
            "needs one text among the conditions; they are: label",
        ),
        (
            SampleSpec("image", (3, 32, 33), condition=TEXTS),
            "draws pictures whose sides are multiples of 2, not 32×33",
        ),
    ],
)
def test_refused_samples(spec: SampleSpec, told: str, folders: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match=told):
        built(folders["stable-diffusion"], spec)


def test_a_run_from_suite_to_report(folders: dict[str, Path], tmp_path: Path) -> None:
    """Nothing is trained; the words of the data set are the prompts, and its reader the judge."""
    options = {"path": str(folders["stable-diffusion"])}
    suite = genbench.Suite(
        dataset="shapes:held-out",  # of which there are few
        examples=64,
        samples=64,
        seeds=[0],
        score={
            "extractor": "shapes",
            "reference": "shapes:held-out",
            "headline": "correct",
            "metrics": ["correct"],
            "snapshots": {"count": 1, "samples": 64, "metrics": []},
        },
        entries={
            "tiny": genbench.Entry(
                "diffusers", options=options, sample={"steps": 2, "guidance": 1.0}
            )
        },
    )
    run = genbench.run(suite, out=tmp_path / "run", progress=False)
    (record,) = [record for record in run.records if record.entry == "tiny"]
    assert record.status == "done", record.reason
    assert record.conditions["pretrained"] is True
    assert record.conditions["obeys"] == ["caption"]
    assert record.conditions["options"]["path"] == resolve(options["path"])
    assert record.conditions["codec"]["licence"] == "creativeml-openrail-m"
    assert record.cost["nfe"] == 2
    assert record.scores["correct"]["value"] == 0  # of noise
    assert "tiny" in Path(run.report()).read_text()

    samples = tmp_path / "run" / record.files["samples"]
    scores = evaluate(str(samples), "shapes:held-out", extractor="shapes", metrics=["correct"])
    assert scores.values["correct"].value == 0
    snapshots = [*(tmp_path / "run").rglob("snapshots/*.safetensors")]
    assert snapshots
    assert all(path.stat().st_size < 1000 for path in snapshots)  # the weights stay where they are
