"""Pictures by FLUX.1 (PEBench, section III-A), from a local folder in diffusers format.

Two phases share one GPU: the text encoders run first and leave their embeddings on disk, then transformer and VAE
draw. The requests of a call are one unit: the same unit gives the same bytes on the same machine, while a request
in other company may differ in its last bits.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image

from mmunlearn.records import Prompt, digest_of
from mmunlearn.synthesis.generate import DrawRequest, Generator
from mmunlearn.synthesis.prompt_embeddings import PromptEmbeddings, load_pipeline, whole_network
from mmunlearn.weights import WeightsError, fingerprint
from mmunlearn.weights.files import check_sound, read_json, shards_of
from mmunlearn.weights.tensors import free_memory

CODE_VERSION = 1  # counts changes of this package that change a picture
STRIDE = 16  # pixels of a side that one token of the transformer covers
COMPONENTS = {  # folder of a component -> what describes it, and the stem of its weights
    "scheduler": ("scheduler_config.json", None),
    "tokenizer": ("tokenizer_config.json", None),
    "tokenizer_2": ("tokenizer_config.json", None),
    "text_encoder": ("config.json", "model"),
    "text_encoder_2": ("config.json", "model"),
    "transformer": ("config.json", "diffusion_pytorch_model"),
    "vae": ("config.json", "diffusion_pytorch_model"),
}
QUANTISATIONS = {"int8": "Int8WeightOnlyConfig", "fp8": "Float8WeightOnlyConfig"}
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FluxOptions:
    """The leaf values of `images.flux` in the configuration, and `images.device`.

    Attributes:
        source: local folder in diffusers format.
        dtype: `bfloat16`, `float16` or `float32`.
        device: `auto`, `cpu` or `cuda`.
        steps: denoising steps of a picture.
        max_sequence_length: tokens of a prompt that T5 sees.
        compile: compile the transformer's blocks: minutes once a job, then about a third faster.
        quantisation: `none`, `int8` or `fp8`: the transformer's weights at half the memory, with torchao.
        batch: pictures denoised at once, at most.
    """

    source: str
    dtype: str
    device: str
    steps: int
    max_sequence_length: int
    compile: bool
    quantisation: str
    batch: int


class FluxGenerator(Generator):
    """Draws with FLUX."""

    name = "flux"

    def __init__(
        self, prompts: Sequence[Prompt], options: Mapping[str, Any], *, seed: int, work: Path
    ) -> None:
        """Set up a generator; nothing is loaded yet.

        Args:
            prompts: every prompt that may be drawn; those of a person are encoded together.
            options: see `FluxOptions`.
            seed: unused, as a request carries its own.
            work: prompt embeddings go to `work/prompt_embeddings`.

        Raises:
            WeightsError: the folder lacks something, or a file in it is cut short.
            ModuleNotFoundError: quantisation is asked for without torchao.
        """
        self._options = FluxOptions(**options)
        self._source = Path(self._options.source)
        self._work = work
        self._prompts = list(prompts)
        self._pipeline: Any = None
        self._guidance: list[float] = []
        check_folder(self._source)
        _check_quantisation(self._options.quantisation)

    @cached_property
    def version(self) -> str:
        """Digest of the weights and of every option that shapes a picture."""
        shaping = asdict(self._options)
        del shaping["source"], shaping["device"]
        shaping["code"] = CODE_VERSION
        return digest_of([self._weights, shaping])

    def prepare(self, prompts: Sequence[Prompt]) -> None:
        """Encode the prompts that have no embedding yet: call it once, with all that will be drawn."""
        self._encode(prompt.prompt for prompt in prompts)

    def draw(self, unit: Sequence[DrawRequest]) -> list[Image.Image]:
        """RGB pictures of size x size pixels, in the order of the requests; see the module on units.

        Raises:
            ValueError: the size is not a multiple of 16, or not the same for all.
            RuntimeError: `cuda` is asked for, but there is none.
        """
        if not unit:
            return []
        size = _common_size(unit)
        if self._embeddings.missing(request.prompt for request in unit):
            self._encode(self._of_the_same_people(unit))
        if self._pipeline is None:
            self._pipeline = self._load()
        images: list[Image.Image] = []
        for start in range(0, len(unit), self._options.batch):
            images += self._denoise(unit[start : start + self._options.batch], size)
        return images

    @cached_property
    def _weights(self) -> str:
        return fingerprint(self._source)

    @cached_property
    def _embeddings(self) -> PromptEmbeddings:
        return PromptEmbeddings(
            source=self._source,
            identity=self._weights,
            folder=self._work / "prompt_embeddings",
            dtype=self._options.dtype,
            device=self._options.device,
            max_sequence_length=self._options.max_sequence_length,
        )

    def _encode(self, prompts: Iterable[str]) -> None:
        """Encode what is missing, with the memory that transformer and VAE may hold."""
        if missing := self._embeddings.missing(prompts):
            self._pipeline = None
            free_memory()
            self._embeddings.encode(missing)

    def _of_the_same_people(self, requests: Sequence[DrawRequest]) -> list[str]:
        """The prompts of the requests and all others of their people, who will be drawn next."""
        drawn = {request.image_id for request in requests}
        people = {prompt.person_id for prompt in self._prompts if prompt.image_id in drawn}
        theirs = [prompt.prompt for prompt in self._prompts if prompt.person_id in people]
        return [request.prompt for request in requests] + theirs

    def _denoise(self, requests: Sequence[DrawRequest], size: int) -> list[Image.Image]:
        """Draw up to `batch` pictures at once. Noise comes from the CPU, so that it is the same on any device."""
        import torch

        pipeline = self._pipeline
        sequence, pooled = self._embeddings.load([request.prompt for request in requests])
        self._guidance = [request.guidance_scale for request in requests]
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            return pipeline(
                prompt_embeds=sequence.to(pipeline.device),
                pooled_prompt_embeds=pooled.to(pipeline.device),
                height=size,
                width=size,
                num_inference_steps=self._options.steps,
                max_sequence_length=self._options.max_sequence_length,
                generator=[torch.Generator("cpu").manual_seed(request.seed) for request in requests],
                output_type="pil",
            ).images

    def _load(self) -> Any:
        """The pipeline without text encoders, ready to draw."""
        options = self._options
        absent = dict.fromkeys(("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))
        parts = absent | _quantised_transformer(self._source, options)
        pipeline = load_pipeline(self._source, options.dtype, options.device, **parts)
        pipeline.vae.enable_slicing()
        transformer = pipeline.transformer
        if transformer.config.guidance_embeds:
            transformer.register_forward_pre_hook(self._guide, with_kwargs=True)
        else:
            logger.warning(
                "the transformer in %s takes no guidance: guidance_scales do nothing", self._source
            )
        if options.compile:
            _compile(transformer, options.batch)
        return pipeline

    def _guide(self, _: Any, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        """Give every picture of the batch its own guidance; the pipeline takes one number for all."""
        import torch

        scales = torch.tensor(self._guidance, dtype=torch.float32, device=kwargs["hidden_states"].device)
        return args, kwargs | {"guidance": scales}


def check_folder(folder: Path) -> None:
    """See that a folder holds a whole FLUX pipeline, by names and file sizes, in milliseconds.

    Raises:
        WeightsError: names the folder and what is missing, or the file that is cut short.
    """
    index = folder / "model_index.json"
    missing = [] if index.exists() else [index.name]
    for component, (description, stem) in COMPONENTS.items():
        files = [description, *(_weight_files(folder / component, stem) if stem else [])]
        missing += [f"{component}/{name}" for name in files if not (folder / component / name).exists()]
    if missing:
        others = f" and {len(missing) - 4} more" if len(missing) > 4 else ""
        raise WeightsError(
            f"a FLUX pipeline in diffusers format is asked for at '{folder}', but it lacks "
            f"{', '.join(missing[:4])}{others}; put the files there or set images.flux.source"
        )
    kind = read_json(index).get("_class_name")
    if kind != "FluxPipeline":
        raise WeightsError(
            f"a FLUX pipeline is asked for at '{folder}', but its {index.name} describes a {kind}; put a "
            f"FluxPipeline there or set images.flux.source"
        )
    for component, (_, stem) in COMPONENTS.items():
        for name in _weight_files(folder / component, stem) if stem else []:
            check_sound(folder / component / name)


def _weight_files(folder: Path, stem: str) -> list[str]:
    """Names of a component's weight files: the shards that its index lists, or the only file."""
    index = folder / f"{stem}.safetensors.index.json"
    return shards_of(index) if index.exists() else [f"{stem}.safetensors"]


def _common_size(requests: Sequence[DrawRequest]) -> int:
    sizes = sorted({request.size for request in requests})
    if len(sizes) > 1 or sizes[0] % STRIDE or sizes[0] < STRIDE:
        raise ValueError(
            f"FLUX draws pictures whose side is a multiple of {STRIDE} pixels, all of a unit alike, but "
            f"{', '.join(map(str, sizes))} is asked for; set images.size to a multiple of {STRIDE}, such as 1024"
        )
    return sizes[0]


def _check_quantisation(quantisation: str) -> None:
    if quantisation != "none" and find_spec("torchao") is None:
        raise ModuleNotFoundError(
            f"images.flux.quantisation is {quantisation}, which needs torchao, but it is not installed; "
            f"run `pip install 'torchao>=0.15'` or set images.flux.quantisation to none"
        )


def _quantised_transformer(source: Path, options: FluxOptions) -> dict[str, Any]:
    """The transformer with 8-bit weights as a component, quantised while it is read; nothing for `none`."""
    if options.quantisation == "none":
        return {}
    import torch
    import torchao.quantization
    from diffusers import FluxTransformer2DModel, TorchAoConfig

    kind = getattr(torchao.quantization, QUANTISATIONS[options.quantisation])
    how = {"dtype": getattr(torch, options.dtype), "local_files_only": True}
    quantised = how | {"quantization_config": TorchAoConfig(kind())}
    return {"transformer": whole_network(FluxTransformer2DModel, source, "transformer", quantised)}


def _compile(transformer: Any, batch: int) -> None:
    """Compile the repeated blocks, which takes minutes less than the whole and leaves the hook outside.

    Every batch size has its own code: code for any size would take over once a second size was seen, and the bits
    of a picture would depend on what was drawn before it.
    """
    import torch._dynamo

    limits = torch._dynamo.config
    limits.recompile_limit = max(limits.recompile_limit, batch + 1)
    transformer.compile_repeated_blocks(dynamic=False)
