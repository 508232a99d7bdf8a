"""Loading a base model and its adapters: safetensors only, no remote code, nothing from the network."""

from __future__ import annotations

import json
import logging
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from math import inf
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from transformers import AutoModelForImageTextToText, AutoProcessor, GenerationConfig, PreTrainedModel
from transformers.processing_utils import ProcessorMixin
from transformers.utils import cached_file

from mmunlearn.models.base import Base
from mmunlearn.models.families import FAMILIES
from mmunlearn.models.needs import problems, template_text
from mmunlearn.records import sha256_of
from mmunlearn.weights.errors import WeightsError, brief
from mmunlearn.weights.files import check_shards
from mmunlearn.weights.tensors import (
    TensorFile,
    check_loaded,
    finite,
    read_tensors,
    refuse,
    shapes_of,
)

transformers.utils.logging.disable_progress_bar()
warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)

POLICY, REFERENCE = "default", "reference"
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
ADAPTER_FILES = (ADAPTER_CONFIG, ADAPTER_WEIGHTS)
ADAPTER_RECORD = "checksums.json"
"""In an adapter's folder: name of a file -> its SHA-256. A reference has no training.json."""
ADAPTER_DIGESTS = {"adapter_sha256": ADAPTER_WEIGHTS, "adapter_config_sha256": ADAPTER_CONFIG}
"""Field of training.json, which lies beside an adapter's folder -> the file whose checksum it holds."""
ADAPTER_REMEDY = "restore the file, or run the job that made the adapter again"
ADAPTER_FIELDS = frozenset((
    "r", "lora_alpha", "lora_dropout", "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern",
    "rank_pattern", "alpha_pattern", "use_rslora", "inference_mode", "fan_in_fan_out", "base_model_name_or_path",
    "revision", "task_type", "auto_mapping", "peft_version",
))  # fmt: skip
"""Where a LoRA adapter may differ from peft's defaults; all else changes the base, or is more than LoRA."""
ATTENTIONS = ("sdpa", "eager", "flash_attention_2")
CHECKPOINT_REMEDY = "get the checkpoint anew, or set models.<name>.source to a whole one of this architecture"
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
        chat_template: in place of the checkpoint's own: a Jinja template, or the path of a file that holds it.
    """

    family: str
    source: str
    dtype: str
    attention: str = "sdpa"
    revision: str | None = None
    lora_targets: str | None = None
    chat_template: str | None = None


def accelerator() -> str:
    """The device of this process: its GPU, or the CPU where there is none."""
    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"


def autocast(precision: str, device: torch.device | str) -> torch.autocast:
    """The automatic mixed precision that a model was trained under, `none` or `bf16`: answering and attacks run under
    the same. Without it peft computes adapters, which stay float32, in float32 on a base in 16 bits."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bf16")


def load_base(spec: ModelSpec, *, device: str = "cpu") -> Base:
    """Load a checkpoint.

    Args:
        device: where the weights go.

    Raises:
        FileNotFoundError: the folder, or the local cache of the hub, holds no checkpoint.
        WeightsError: a file is damaged; tensors are missing, unexpected, misshapen or not finite; names file and keys.
        ValueError: unknown attention, or a model of another architecture.
    """
    family = FAMILIES.load(spec.family)
    if spec.attention not in ATTENTIONS:
        raise ValueError(
            f"attention '{spec.attention}' is asked for, but there are {', '.join(ATTENTIONS)}; "
            f"set models.<name>.attention to one of them"
        )
    folder = _folder(spec)
    check_shards(Path(folder), "model", CHECKPOINT_REMEDY)
    processor = _processor(spec, folder)
    with _readable(folder):
        model, found = AutoModelForImageTextToText.from_pretrained(
            folder,
            dtype=getattr(torch, spec.dtype),
            attn_implementation=spec.attention,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            generation_config=GenerationConfig(),  # not the checkpoint's: `generation.greedy` says all
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # refused below, by name
        )
    if family.architecture and type(model).__name__ != family.architecture:
        raise ValueError(
            f"family {spec.family} is a {family.architecture}, but {spec.source} holds a {type(model).__name__}; "
            f"set models.<name>.family to that model's, or to other"
        )
    check_loaded(folder, found, CHECKPOINT_REMEDY)
    model = model.to(device).eval()
    _check_finite(model, Path(folder))
    return family(model, processor, spec.lora_targets)


def _processor(spec: ModelSpec, folder: str) -> ProcessorMixin:
    """The processor of a checkpoint, with the template that counts.

    Raises:
        ValueError: it lacks a chat template or a pad token, or is none of pictures and texts.
        ModuleNotFoundError: it needs a package that is not installed.
    """
    asked = f"questions with pictures are to be asked of {spec.source}"
    if lacking := list(problems(folder, spec.chat_template)):
        raise ValueError(f"{asked}, but {'; '.join(lacking)}")
    try:
        with _readable(folder):
            processor = AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except ImportError as error:
        raise ModuleNotFoundError(
            f"{asked}, but its processor needs a package: {brief(error)}; install it, or take another model"
        ) from error
    if not hasattr(processor, "tokenizer") or not hasattr(processor, "image_processor"):
        raise ValueError(
            f"{asked}, but its processor is a {type(processor).__name__}; add the published model's processor files"
        )
    if spec.chat_template is not None:
        processor.chat_template = template_text(spec.chat_template)
    processor.chat_template = processor.chat_template or processor.tokenizer.chat_template
    if not processor.chat_template:
        raise ValueError(f"{asked}, but it has no chat template; name one in models.<name>.chat_template")
    if processor.tokenizer.pad_token_id is None:
        raise ValueError(
            f"{asked}, but it has no pad token; name one as pad_token in its tokenizer_config.json"
        )
    return processor


@contextmanager
def _readable(folder: str) -> Iterator[None]:
    """Name the folder in what the library says of files that are damaged or no checkpoint that it knows."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"asked for the checkpoint in {folder}; found {type(error).__name__}: {brief(error)}; {CHECKPOINT_REMEDY}"
        ) from error


def _check_finite(model: PreTrainedModel, folder: Path) -> None:
    """Refuse weights with inf or nan: in the files, which are then searched, or by the type that they are loaded in."""
    state = model.state_dict()
    wrong = [name for name, value in state.items() if not finite(value)]
    if wrong:
        for path in sorted(folder.glob("*.safetensors")):
            dict(TensorFile(path, CHECKPOINT_REMEDY))
        raise WeightsError(
            f"asked for the weights in {folder} as {state[wrong[0]].dtype}; found {wrong[0]} too large for that type; "
            f"set models.<name>.dtype to bfloat16 or float32"
        )


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
        ValueError: it fits no module, or modules of a frozen vision tower.
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
    if outside and base.frozen:
        raise ValueError(
            f"LoRA is asked for on {outside[0]}, but family {base.family} has a frozen vision tower, whose features it "
            f"would outdate; keep to {language}, or set models.<name>.family: other, which keeps none"
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


def load_adapter(base: Base, folder: str | Path, *, trainable: bool = False, name: str = POLICY) -> PeftModel:
    """The base with a saved adapter, by default as policy.

    Raises:
        WeightsError: the adapter is not whole, not finite, not the one that was trained, or not of this base; names
            file and keys.
    """
    config = _read_config(Path(folder), trainable=trainable)
    with _fitting(folder):
        model = PeftModel(base.model, config, adapter_name=name)
    try:
        _fill(model, Path(folder), name)
    except Exception:
        model.unload()
        raise
    return model if trainable else model.eval()


@contextmanager
def adapted(base: Base, folder: str | Path) -> Iterator[PeftModel]:
    """The base with a saved adapter while the block runs; then the base is as it was, ready for the next one."""
    model = load_adapter(base, folder)
    try:
        yield model
    finally:
        model.unload()


def add_adapter(model: PeftModel, folder: str | Path, name: str) -> None:
    """Put a frozen saved adapter beside others; which one is active stays. Raises as `load_adapter`."""
    active = model.active_adapter
    config = _read_config(Path(folder), trainable=False)
    with _fitting(folder):
        model.add_adapter(name, config)
    try:
        _fill(model, Path(folder), name)
    except Exception:
        model.delete_adapter(name)
        raise
    model.set_adapter(active)


def add_reference(model: PeftModel, folder: str | Path) -> None:
    """Put a frozen second copy of an adapter beside the policy, on the same base."""
    add_adapter(model, folder, REFERENCE)


def trainable_parameters(model: PeftModel) -> dict[str, torch.nn.Parameter]:
    """Name to parameter of everything that the optimizer moves."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def check_recorded(folder: Path) -> None:
    """Compare an adapter's files with the checksums in its folder, and in training.json beside that, where they lie.

    Raises:
        WeightsError: a file is another one than was trained.
    """
    own = {name: name for name in ADAPTER_FILES}
    places = {folder.parent / "training.json": ADAPTER_DIGESTS, folder / ADAPTER_RECORD: own}
    for path, fields_of in places.items():
        try:
            record = dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
        except (ValueError, TypeError) as error:
            raise WeightsError(
                f"asked for the checksums in {path}; found no record ({brief(error)}); {ADAPTER_REMEDY}"
            ) from error
        for field, name in fields_of.items():
            expected = record.get(field)
            if expected and (found := sha256_of(folder / name)) != expected:
                raise WeightsError(
                    f"asked for {folder / name} with the SHA-256 {expected} that {path} records; found {found}; "
                    f"{ADAPTER_REMEDY}"
                )


def read_adapter(
    model: PeftModel, folder: Path, name: str, remedy: str = ADAPTER_REMEDY
) -> dict[str, torch.Tensor]:
    """The tensors of a saved adapter: finite, and exactly those of the model's adapter of that name.

    Raises:
        WeightsError: they are not; names file and keys.
    """
    expected = shapes_of(get_peft_model_state_dict(model, adapter_name=name))
    tensors = read_tensors(folder / ADAPTER_WEIGHTS, expected, remedy)
    whole = [key for key, value in tensors.items() if not value.is_floating_point()]
    refuse(folder / ADAPTER_WEIGHTS, {"whole numbers": whole}, remedy)
    return tensors


def _read_config(folder: Path, *, trainable: bool) -> LoraConfig:
    for name in ADAPTER_FILES:
        if not (folder / name).is_file():
            raise WeightsError(f"asked for an adapter in {folder}; found no {name}; {ADAPTER_REMEDY}")
    with _fitting(folder):
        config = LoraConfig.from_pretrained(str(folder))
        plain = LoraConfig()
        odd = [
            f"{one.name} {getattr(config, one.name)!r}"
            for one in fields(config)
            if one.name not in ADAPTER_FIELDS and getattr(config, one.name) != getattr(plain, one.name)
        ]
        if odd:
            raise ValueError(f"more than LoRA: {', '.join(odd)}")
        if not 0 < config.lora_alpha < inf:
            raise ValueError(f"lora_alpha {config.lora_alpha}, which is no number above 0")
    config.inference_mode = not trainable
    return config


@contextmanager
def _fitting(folder: str | Path) -> Iterator[None]:
    """Name the adapter in what peft says of a description that is damaged or fits no module of the base."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsError(
            f"asked for a LoRA adapter as {Path(folder) / ADAPTER_CONFIG} describes it; found {brief(error)}; "
            f"{ADAPTER_REMEDY}"
        ) from error


def _fill(model: PeftModel, folder: Path, name: str) -> None:
    tensors = read_adapter(model, folder, name)
    check_recorded(folder)  # after what is wrong with keys, which says more
    result = set_peft_model_state_dict(model, tensors, adapter_name=name)
    refuse(folder / ADAPTER_WEIGHTS, {"unexpected": result.unexpected_keys}, ADAPTER_REMEDY)
