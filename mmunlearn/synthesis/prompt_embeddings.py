"""Prompts as a FLUX pipeline's text encoders see them, kept on disk.

T5-XXL is as large as it is rarely needed: every prompt is encoded once, whatever the number of its pictures and
attempts, and the encoders leave memory before the transformer enters it. At FLUX.1's sizes a prompt takes
`max_sequence_length` x 8 KiB in 16 bits, 4 MiB for 512.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmunlearn.progress import progress
from mmunlearn.records import atomic_path, digest_of
from mmunlearn.scorers.device import device_of
from mmunlearn.weights.files import check_shards, read_json
from mmunlearn.weights.tensors import check_finite, check_loaded, free_memory, read_header, read_tensors

if TYPE_CHECKING:
    import torch

SEQUENCE, POOLED = "sequence", "pooled"
NETWORKS = ("text_encoder", "text_encoder_2", "transformer", "vae")
FLUX_REMEDY = "get the pipeline anew, or set images.flux.source to a whole one"
REMEDY = "move this file of the store away: its prompt is encoded again"
logger = logging.getLogger(__name__)


class EncodingError(RuntimeError):
    """The text encoders gave no usable embedding."""


@dataclass(frozen=True)
class PromptEmbeddings:
    """A store of prompt embeddings, one safetensors file a prompt.

    Attributes:
        source: folder of the pipeline in diffusers format.
        identity: names its weights; other weights have another store.
        folder: where the stores lie.
        dtype: `bfloat16`, `float16` or `float32`, of encoders and embeddings.
        device: `auto`, `cpu` or `cuda`, where the encoders run.
        max_sequence_length: tokens of T5. It takes no mask, so an embedding depends on its padding.
    """

    source: Path
    identity: str
    folder: Path
    dtype: str
    device: str
    max_sequence_length: int

    def missing(self, prompts: Iterable[str]) -> list[str]:
        """The prompts without a complete file, each once, in order; of a damaged one a warning tells."""
        return [prompt for prompt in dict.fromkeys(prompts) if not self._complete(self.path(prompt))]

    def encode(self, prompts: Sequence[str]) -> None:
        """Load the text encoders, encode every prompt, drop the encoders.

        One prompt at a time: a batch would change low-order bits on a GPU, and a prompt that is encoded again
        must give what it gave before.

        Raises:
            EncodingError: an embedding is not finite.
        """
        import torch

        with _text_encoders(self.source, self.dtype, self.device) as pipeline, torch.no_grad():
            self._warn_of_long(prompts, pipeline)
            for prompt in progress(prompts, "prompt embeddings", unit="prompt"):
                sequence, pooled, _ = pipeline.encode_prompt(
                    prompt=prompt, prompt_2=None, max_sequence_length=self.max_sequence_length
                )
                self._save(prompt, {SEQUENCE: sequence[0], POOLED: pooled[0]})

    def load(self, prompts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings of B encoded prompts: (B, tokens, width) of T5 and (B, pooled width) of CLIP, on the CPU."""
        import torch

        files = [read_tensors(self.path(prompt), None, REMEDY) for prompt in prompts]
        return torch.stack([file[SEQUENCE] for file in files]), torch.stack([file[POOLED] for file in files])

    def path(self, prompt: str) -> Path:
        """The file of a prompt, whether it exists or not."""
        store = digest_of([self.identity, self.max_sequence_length, self.dtype])
        return self.folder / store / f"{digest_of(prompt)}.safetensors"

    def _save(self, prompt: str, embedding: dict[str, torch.Tensor]) -> None:
        import torch
        from safetensors.torch import save_file

        if not all(torch.isfinite(tensor).all() for tensor in embedding.values()):
            raise EncodingError(
                f"prompts are encoded in {self.dtype}, but the text encoders in {self.source} give infinite or "
                f"undefined numbers for '{prompt[:60]}'; set images.flux.dtype to bfloat16 or float32"
            )
        with atomic_path(self.path(prompt)) as temporary:
            save_file({name: tensor.cpu().contiguous() for name, tensor in embedding.items()}, temporary)

    def _complete(self, path: Path) -> bool:
        if not path.exists():
            return False
        try:
            entries = read_header(path)
            tokens = entries[SEQUENCE].shape[0]
            if tokens == self.max_sequence_length and POOLED in entries:
                return True
            problem = f"{tokens} tokens instead of {self.max_sequence_length}"
        except (OSError, ValueError, KeyError, IndexError) as error:
            problem = str(error)
        logger.warning("%s is damaged (%s): the prompt is encoded again", path, problem)
        return False

    def _warn_of_long(self, prompts: Sequence[str], pipeline: Any) -> None:
        ids = pipeline.tokenizer_2(list(prompts), verbose=False).input_ids
        long = sum(len(tokens) > self.max_sequence_length for tokens in ids)
        if long:
            logger.warning(
                "%d of %d prompts have more than images.flux.max_sequence_length = %d tokens; the rest of them "
                "is not drawn",
                long,
                len(prompts),
                self.max_sequence_length,
            )


def whole_network(kind: Any, source: Path, name: str, how: Mapping[str, Any]) -> torch.nn.Module:
    """A network of a pipeline. Raises WeightsError where its files' tensors are not exactly its own, or not finite."""
    stem = "model" if name.startswith("text_encoder") else "diffusion_pytorch_model"
    check_shards(source / name, stem, FLUX_REMEDY)
    network, found = kind.from_pretrained(
        source,
        subfolder=name,
        **how,
        use_safetensors=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # refused below, by name
    )
    check_loaded(source / name, found, FLUX_REMEDY)
    if "quantization_config" not in how:  # whose numbers are always finite
        check_finite(source / name, network.state_dict(), FLUX_REMEDY)
    return network


def load_pipeline(source: Path, dtype: str, device: str, **components: Any) -> Any:
    """A FluxPipeline from local safetensors on a device, silent; a component given as None stays out.

    Raises:
        RuntimeError: `cuda` is asked for, but there is none.
    """
    import diffusers
    import torch
    import transformers

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    place, how = device_of(device), {"dtype": getattr(torch, dtype), "local_files_only": True}
    index = read_json(source / "model_index.json")
    for name in (name for name in NETWORKS if name not in components):
        library, kind = index[name]
        components[name] = whole_network(getattr(import_module(library), kind), source, name, how)
    pipeline = diffusers.FluxPipeline.from_pretrained(source, **how, **components)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(place)


@contextmanager
def _text_encoders(source: Path, dtype: str, device: str) -> Iterator[Any]:
    """The pipeline without transformer and VAE. It does not say of every prompt that CLIP sees 77 tokens only."""
    talker = logging.getLogger("diffusers.pipelines.flux.pipeline_flux")
    level = talker.level
    pipeline = load_pipeline(source, dtype, device, transformer=None, vae=None)
    talker.setLevel(logging.ERROR)
    try:
        yield pipeline
    finally:
        talker.setLevel(level)
        pipeline.text_encoder = pipeline.text_encoder_2 = None
        free_memory()
