"""Folders of diffusers' text-to-image pipelines: named by their contents, and loaded.

Only safetensors and configurations are read, and only classes of diffusers and transformers are
built: nothing is unpickled, and no code of a folder is run.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator

from genbench.api.errors import UsageError, one_line

INDEX = "model_index.json"
CARD = "README.md"
LEFT_OUT = "safety_checker"
"""A component that is not loaded: it blackens pictures, which then would be scored."""
CONFIGURATION = (".json", ".txt", ".model")
"""Suffixes of the files of a component beside its weights."""
TAKEN = (
    *("prompt", "height", "width", "num_inference_steps", "guidance_scale"),
    *("latents", "output_type"),
)
"""What a pipeline must take to be sampled here."""

Dtype: TypeAlias = Literal["float32", "bfloat16", "float16"]


def resolve(path: str) -> str:
    """``"DIR"`` to ``"DIR@HASH"``, HASH being of the folder's weights and configurations, so that
    an option names the very pipeline; the hash of ``"DIR@HASH"`` is compared.

    Raises:
        UsageError: No such folder, no pipeline in it, or one with another hash than HASH.
    """
    named = re.fullmatch(r"(.+)@([0-9a-f]{16})", path)
    folder = Path(named[1] if named else path)
    if not folder.is_dir():
        raise UsageError(f"no folder {str(folder)!r} of a diffusers pipeline")
    found = hash_of(folder, _files(folder))
    if named and named[2] != found:
        raise UsageError(f"{folder} holds another pipeline than {path!r}: its hash is {found}")
    return f"{folder}@{found}"


PipelineFolder: TypeAlias = Annotated[str, AfterValidator(resolve)]
"""A contestant's option: a folder with ``model_index.json``, resolved to "DIR@HASH"."""


def parted(path: str) -> tuple[Path, str]:
    """``"DIR@HASH"`` → the folder and its hash."""
    folder, _, digest = path.rpartition("@")
    return Path(folder), digest


def hash_of(folder: Path, files: list[Path]) -> str:
    """The first 16 hex digits of the SHA-256 of the names of ``files`` and of what they hold."""
    whole = hashlib.sha256()
    for file in files:
        status = file.stat()
        stamp = status.st_size, status.st_mtime_ns, status.st_ino
        whole.update(f"{file.relative_to(folder)} {_digest(file, stamp)}\n".encode())
    return whole.hexdigest()[:16]


def component_files(folder: Path, name: str) -> list[Path]:
    """The files that decide a component of the pipeline in ``folder``, sorted; not the weights of
    a variant, as ``model.fp16.safetensors``, which are not loaded."""
    inside = (folder / name).iterdir() if (folder / name).is_dir() else ()
    return sorted(
        file
        for file in inside
        if file.suffix in CONFIGURATION or (file.suffix == ".safetensors" and "." not in file.stem)
    )


def licence_of(folder: Path) -> str:
    """The licence that the model card in ``folder`` names, or ``not stated``."""
    card = folder / CARD
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    head = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    named = re.search(r"^license:[ ]*(\S.*)$", head[1] if head else "", re.MULTILINE)
    return named[1].strip("\"' ") if named else "not stated"


@lru_cache(maxsize=1)
def load(path: str, dtype: Dtype) -> Any:
    """The pipeline in ``"DIR@HASH"``, on the CPU, by its own class. It is loaded once a process for
    the models that share it, which never change its weights.

    Raises:
        UsageError: Without the package diffusers; as ``resolve`` does; a component that is of
            neither diffusers nor transformers, or whose weights are pickled or missing; a pipeline
            that draws no pictures from texts and noise by a UNet or transformer and a VAE.
    """
    folder, _ = parted(resolve(path))
    try:
        import diffusers  # noqa: F401
        import torch
        import transformers  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"needs the packages diffusers and transformers ({error}): "
            "pip install 'genbench[diffusers]'"
        ) from error
    kind = _require_class(folder)
    given: dict[str, Any] = {}
    known = inspect.signature(kind.__init__).parameters
    if LEFT_OUT in known:
        given |= {LEFT_OUT: None, "requires_safety_checker": False}
    if "add_watermarker" in known:
        given |= {"add_watermarker": False}
    try:
        with quiet():
            how = {
                "local_files_only": True,
                "use_safetensors": True,
                "torch_dtype": getattr(torch, dtype),
            }
            networks = _networks(folder, how)
            pipeline = kind.from_pretrained(folder, **how, **given, **networks)
    except UsageError:
        raise
    except Exception as error:  # the files may hold anything
        raise UsageError(f"{folder}: cannot be loaded ({one_line(error)[:200]})") from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _require_class(folder: Path) -> Any:
    """The pipeline's class. Raises ``UsageError`` if it or a component is not of diffusers or
    transformers, or if it cannot be sampled here."""
    import diffusers

    index = _index(folder)
    name = index["_class_name"]
    kind = getattr(diffusers, name, None) if isinstance(name, str) else None
    if not isinstance(kind, type) or not issubclass(kind, diffusers.DiffusionPipeline):
        raise UsageError(f"{folder / INDEX}: {name!r} is no pipeline of diffusers")
    for component, (library, _) in _components(index).items():
        ours = library in ("diffusers", "transformers") or hasattr(diffusers.pipelines, library)
        if not ours or (folder / component / f"{library}.py").exists():
            raise UsageError(
                f"{folder / INDEX}: {component!r} is of {library!r}; only classes of diffusers and "
                "transformers are loaded"
            )
    takes = inspect.signature(kind.__call__).parameters
    absent = [argument for argument in TAKEN if argument not in takes]
    parts = inspect.signature(kind.__init__).parameters
    reason = None
    if absent:
        reason = f"takes no {absent[0]!r}"
    elif "image" in takes:
        reason = "starts from a picture"
    elif "vae" not in parts or not {"unet", "transformer"} & parts.keys():
        reason = "has no VAE with a UNet or a transformer"
    elif hasattr(kind, "_pack_latents"):
        reason = "packs its latents"
    if reason is not None:
        raise UsageError(f"{folder}: a {name} {reason}, so it cannot be sampled here")
    return kind


def _networks(folder: Path, how: dict[str, Any]) -> dict[str, Any]:
    """The components that have weights, each loaded by its class as ``how`` says. Raises
    ``UsageError`` if a weight is missing, which the libraries would draw at random."""
    import diffusers
    import torch
    import transformers

    found = {}
    for name, (library, kind) in _components(_index(folder)).items():
        built = getattr({"diffusers": diffusers}.get(library, transformers), kind, None)
        if not (isinstance(built, type) and issubclass(built, torch.nn.Module)):
            continue  # a scheduler, a tokenizer
        build: Any = built
        network, info = build.from_pretrained(folder / name, output_loading_info=True, **how)
        if missing := sorted(info["missing_keys"]):
            raise UsageError(
                f"{folder / name}: not the weights of a {kind}: {len(missing)} are missing, "
                f"{missing[0]} first"
            )
        found[name] = network
    return found


def _files(folder: Path) -> list[Path]:
    index = _index(folder)
    parts = [file for name in _components(index) for file in component_files(folder, name)]
    return [folder / INDEX, *parts]


def _index(folder: Path) -> dict[str, Any]:
    """What ``model_index.json`` holds. Raises ``UsageError``."""
    path = folder / INDEX
    try:
        index = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {one_line(error)}") from None
    if not isinstance(index, dict) or "_class_name" not in index:
        raise UsageError(f"{path} names no pipeline")
    return index


def _components(index: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """The components that are loaded, sorted: the library and the class of each."""
    listed = {
        name: tuple(value)
        for name, value in sorted(index.items())
        if isinstance(value, list) and len(value) == 2 and name[0] != "_" and name != LEFT_OUT
    }
    return {
        name: (value[0], value[1])
        for name, value in listed.items()
        if all(isinstance(part, str) for part in value)
    }


@cache
def _digest(file: Path, stamp: tuple[int, int, int]) -> str:
    """The SHA-256 of a file, which holds gigabytes and is read again only if ``stamp`` differs."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


@contextmanager
def quiet() -> Iterator[None]:
    """diffusers and transformers without bars, advice on how to load, and the ends of prompts that
    a text encoder does not read."""
    import diffusers
    import transformers

    libraries = [diffusers.utils.logging, transformers.utils.logging]
    before = [(one.get_verbosity(), one.is_progress_bar_enabled()) for one in libraries]
    for one in libraries:
        one.set_verbosity_error()
        one.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # Newer versions call ``torch_dtype`` ``dtype``, which older ones do not take.
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        for one, (verbosity, bars) in zip(libraries, before, strict=True):
            one.set_verbosity(verbosity)
            if bars:
                one.enable_progress_bar()
