"""Loading a base model and its adapters: safetensors only, no remote code, nothing from the network."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedModel
from transformers.utils import cached_file

from mmunlearn.models.base import Base
from mmunlearn.models.families import FAMILIES

transformers.utils.logging.disable_progress_bar()
warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)

POLICY, REFERENCE = "default", "reference"
ATTENTIONS = ("sdpa", "eager", "flash_attention_2")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelSpec:
    """One row of `models` in the configuration.

    Attributes:
        family: key of FAMILIES.
        source: folder of a checkpoint, or `organisation/name` in the local cache of the model hub.
        dtype: name of a torch dtype.
        attention: one of ATTENTIONS. Flash attention takes no block mask: one question a row.
        revision: commit, tag or branch of a hub source; None: main.
        lora_targets: regular expression of full module names in place of the family's.
    """

    family: str
    source: str
    dtype: str
    attention: str = "sdpa"
    revision: str | None = None
    lora_targets: str | None = None


def accelerator() -> str:
    """The device of this process: its GPU, or the CPU where there is none."""
    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"


def load_base(spec: ModelSpec, *, device: str = "cpu") -> Base:
    """Load a checkpoint.

    Args:
        device: where the weights go.

    Raises:
        FileNotFoundError: the folder, or the local cache of the hub, holds no checkpoint.
        ValueError: unknown attention, or a model of another architecture.
    """
    family = FAMILIES.load(spec.family)
    if spec.attention not in ATTENTIONS:
        raise ValueError(
            f"attention '{spec.attention}' is asked for, but there are {', '.join(ATTENTIONS)}; "
            f"set models.<name>.attention to one of them"
        )
    folder = _folder(spec)
    model = AutoModelForImageTextToText.from_pretrained(
        folder,
        dtype=getattr(torch, spec.dtype),
        attn_implementation=spec.attention,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
    )
    if family.architecture and type(model).__name__ != family.architecture:
        raise ValueError(
            f"family {spec.family} is a {family.architecture}, but {spec.source} holds a {type(model).__name__}; "
            f"set models.<name>.family to that model's, or to other"
        )
    processor = AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    return family(model.to(device).eval(), processor, spec.lora_targets)


def _folder(spec: ModelSpec) -> str:
    """The folder of a checkpoint: the source itself, or its snapshot in the local cache."""
    folder = spec.source
    if not Path(folder).is_dir() and re.fullmatch(r"[\w.-]+/[\w.-]+", folder):
        try:
            config = cached_file(folder, "config.json", revision=spec.revision, local_files_only=True)
            folder = str(Path(config).parent)
        except OSError as error:
            revision = f" --revision {spec.revision}" if spec.revision else ""
            raise FileNotFoundError(
                f"{spec.source}{f' at {spec.revision}' if spec.revision else ''} is asked for, but it is neither a "
                f"folder nor in the local cache of the model hub; fetch it with: hf download {spec.source}{revision}"
            ) from error
    for pattern in ("config.json", "*.safetensors"):
        if not any(Path(folder).glob(pattern)):
            raise FileNotFoundError(
                f"a {spec.family} checkpoint is asked for at '{folder}', but there is no {pattern}; "
                f"set models.<name>.source to a folder with config.json and *.safetensors"
            )
    return folder


def new_adapter(base: Base, lora: Mapping[str, Any], seed: int) -> PeftModel:
    """A fresh LoRA adapter on the language model's linears; its initial weights follow from `seed`."""
    torch.manual_seed(seed)
    settings = LoraConfig(
        r=lora["rank"],
        lora_alpha=lora["alpha"],
        lora_dropout=lora["dropout"],
        target_modules=lora_targets(base),
    )
    return get_peft_model(base.model, settings, adapter_name=POLICY)


def lora_targets(base: Base) -> str:
    """Regular expression of the modules that get LoRA: the configuration's, the family's, or by structure.

    Raises:
        ValueError: it fits no module, or vision modules whose features are cached.
    """
    language = _language_model(base.model)
    pattern = base.lora_targets or base.linears or _linears_of(base.model, language)
    fitting = [name for name, _ in base.model.named_modules() if re.fullmatch(pattern, name)]
    if not fitting:
        raise ValueError(
            f"LoRA is asked for on {pattern}, but no module of {type(base.model).__name__} is called so; set "
            f"models.<name>.lora_targets to a regular expression of full names, such as those below {language}"
        )
    outside = [name for name in fitting if not name.startswith((f"{language}.", "lm_head"))]
    if outside and base.caches:
        raise ValueError(
            f"LoRA is asked for on {outside[0]}, but family {base.family} caches vision features, which it would "
            f"outdate; keep to {language}, or set models.<name>.family: other, which keeps pixels"
        )
    return pattern


def _language_model(model: PreTrainedModel) -> str:
    """Full name of the module that is the language model; empty where the model does not say."""
    decoder = model.get_decoder()
    return next(name for name, module in model.named_modules() if module is decoder)


def _linears_of(model: PreTrainedModel, language: str) -> str:
    """Regular expression of the linears of a language model."""
    if not language:
        raise ValueError(
            f"LoRA on the language model is asked for, but {type(model).__name__} does not say which of its modules "
            f"that is; set models.<name>.lora_targets to a regular expression of full names"
        )
    inside = model.get_submodule(language).named_modules()
    linears = {name.rpartition(".")[2] for name, module in inside if isinstance(module, torch.nn.Linear)}
    return rf"{re.escape(language)}\.(.*\.)?({'|'.join(sorted(map(re.escape, linears)))})"


def load_adapter(base: Base, folder: str | Path, *, trainable: bool = False) -> PeftModel:
    """The base with a saved adapter as policy."""
    return PeftModel.from_pretrained(base.model, str(folder), adapter_name=POLICY, is_trainable=trainable)


@contextmanager
def adapted(base: Base, folder: str | Path) -> Iterator[PeftModel]:
    """The base with a saved adapter while the block runs; then the base is as it was, ready for the next one."""
    model = load_adapter(base, folder)
    try:
        yield model
    finally:
        model.unload()


def add_reference(model: PeftModel, folder: str | Path) -> None:
    """Put a frozen second copy of an adapter beside the policy, on the same base."""
    model.load_adapter(str(folder), adapter_name=REFERENCE, is_trainable=False)
    model.set_adapter(POLICY)


def trainable_parameters(model: PeftModel) -> dict[str, torch.nn.Parameter]:
    """Name to parameter of everything that the optimizer moves."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
