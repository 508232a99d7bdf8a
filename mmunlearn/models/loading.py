"""Loading a base model and its adapters: safetensors only, no remote code, nothing from the network."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedModel
from transformers.processing_utils import ProcessorMixin

from mmunlearn.models.families import FAMILIES, Family

transformers.utils.logging.disable_progress_bar()
warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)

POLICY, REFERENCE = "default", "reference"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelSpec:
    """One row of `models` in the configuration."""

    family: str
    source: str
    dtype: str


@dataclass(frozen=True)
class Base:
    """A loaded base model with its processor and family."""

    model: PreTrainedModel
    processor: ProcessorMixin
    family: Family


def load_base(spec: ModelSpec) -> Base:
    """Load a checkpoint folder.

    Raises:
        FileNotFoundError: the folder holds no checkpoint.
        ValueError: it holds a model of another architecture.
    """
    described = FAMILIES[spec.family]
    if not (Path(spec.source) / "config.json").exists():
        raise FileNotFoundError(
            f"a {spec.family} checkpoint is asked for at '{spec.source}', but there is no config.json; "
            f"set models.<name>.source to a folder with config.json and *.safetensors"
        )
    model = AutoModelForImageTextToText.from_pretrained(
        spec.source, dtype=getattr(torch, spec.dtype), use_safetensors=True, local_files_only=True
    )
    if type(model).__name__ != described.architecture:
        raise ValueError(
            f"family {spec.family} is a {described.architecture}, but {spec.source} holds a {type(model).__name__}"
        )
    processor = AutoProcessor.from_pretrained(spec.source, local_files_only=True)
    return Base(model.eval(), processor, described)


def new_adapter(base: Base, lora: Mapping[str, Any], seed: int) -> PeftModel:
    """A fresh LoRA adapter on the language model's linears; its initial weights follow from `seed`."""
    torch.manual_seed(seed)
    settings = LoraConfig(
        r=lora["rank"],
        lora_alpha=lora["alpha"],
        lora_dropout=lora["dropout"],
        target_modules=base.family.lora_targets,
    )
    return get_peft_model(base.model, settings, adapter_name=POLICY)


def load_adapter(base: Base, folder: str | Path, *, trainable: bool = False) -> PeftModel:
    """The base with a saved adapter as policy."""
    return PeftModel.from_pretrained(base.model, str(folder), adapter_name=POLICY, is_trainable=trainable)


def add_reference(model: PeftModel, folder: str | Path) -> None:
    """Put a frozen second copy of an adapter beside the policy, on the same base."""
    model.load_adapter(str(folder), adapter_name=REFERENCE, is_trainable=False)
    model.set_adapter(POLICY)


def trainable_parameters(model: PeftModel) -> dict[str, torch.nn.Parameter]:
    """Name to parameter of everything that the optimizer moves."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
