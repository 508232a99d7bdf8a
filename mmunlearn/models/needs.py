"""What a checkpoint must bring besides weights: a chat template, a pad token, a processor and its packages.

Found by its small files alone, before anything is loaded. Imported by the Snakefile: nothing heavy here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmunlearn.files import read_text

PROCESSORS = ("preprocessor_config.json", "processor_config.json")
PLAIN_TOKENIZERS = (
    "LlamaTokenizer",
    "PreTrainedTokenizer",
    "GPT2Tokenizer",
    "TokenizersBackend",
    "CodeLlamaTokenizer",
)
"""Classes that have no pad token of their own; others may, whatever their files say."""
FILES = {
    "tokenizer.model": ("sentencepiece", "google.protobuf"),
    "spiece.model": ("sentencepiece", "google.protobuf"),
    "sentencepiece.bpe.model": ("sentencepiece", "google.protobuf"),
    "*.tiktoken": ("tiktoken",),
    "tekken.json": ("mistral_common",),
}
"""Of a tokenizer without tokenizer.json: pattern -> modules that read it."""
CLASSES = {"SmolVLMProcessor": ("num2words",), "VoxtralProcessor": ("soundfile",)}
"""Processor -> modules."""
TOWERS = {"timm_wrapper": ("timm",), "timm_backbone": ("timm",), "gemma3n_vision": ("timm",)}
"""`model_type` anywhere in config.json -> modules."""
SMALL = ("config.json", *PROCESSORS, "tokenizer_config.json", "special_tokens_map.json", "chat_template.json")
"""Files of JSON that say how a checkpoint is used."""
PROBE = "Who is in the picture"
GIVEN = {"bos_token": "", "eos_token": "", "pad_token": "", "unk_token": "", "tools": None, "documents": None}
"""What a template is given besides, as far as it is known here."""
PACKAGES = {"google.protobuf": "protobuf", "mistral_common": "mistral-common"}
"""Module -> package, where they differ."""


def template_text(template: str) -> str:
    """A chat template: the text itself, or that of the file whose path is given.

    Raises:
        FileNotFoundError: neither a template nor a file.
    """
    if "{" in template or "\n" in template:
        return template
    path = Path(template).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no file '{template}'; name a Jinja file, write the template itself, or null for the "
            "checkpoint's own"
        )
    return read_text(path)


def template_problem(template: str | None) -> str | None:
    """What is wrong with a chat template, found by writing a question to a picture with it, as `Dialogue` does."""
    if template is None:
        return None
    from jinja2 import TemplateSyntaxError, UndefinedError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    try:
        text = re.sub(r"{%-?\s*(end)?generation\s*-?%}", "", template_text(template))
    except (OSError, ValueError) as error:
        return str(error)
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", "jinja2.ext.do"]
    )
    environment.globals |= {"strftime_now": str, "raise_exception": _raise}
    content = [{"type": "image"}, {"type": "text", "text": PROBE}]
    try:
        written = environment.from_string(text).render(
            messages=[{"role": "user", "content": content}], add_generation_prompt=True, **GIVEN
        )
    except TemplateSyntaxError as error:
        return f"no Jinja template: line {error.lineno}: {error.message}; correct it"
    except UndefinedError:  # a token of the tokenizer's own, perhaps
        return None
    except Exception as error:  # whatever a template does with a question
        return f"the template cannot write a question to a picture: {error}; correct it"
    return None if PROBE in written else "the template writes no `messages`, so no question; correct it"


def _raise(message: str) -> None:
    """What templates call on a conversation that they do not take."""
    raise ValueError(message)


def problems(folder: str | Path, template: str | None = None) -> Iterator[str]:
    """What a checkpoint's folder lacks for questions to be asked of it; nothing where it is not there yet.

    Args:
        template: chat template in place of its own.
    """
    folder = Path(folder)
    yield from (
        f"'{folder / name}' is no whole JSON file; get it anew" for name in SMALL if _damaged(folder / name)
    )
    config = _json(folder / "config.json")
    if not config:
        return
    if (folder / "adapter_config.json").exists():
        yield f"'{folder}' holds an adapter, which would be loaded with the model; take it out, or merge it"
    if config.get("quantization_config"):
        yield f"'{folder}' holds quantised weights, which cannot be trained here; take those of 16 or 32 bits"
    if not any((folder / name).is_file() for name in PROCESSORS):
        yield f"'{folder}' has no processor of pictures, {' or '.join(PROCESSORS)}; add that of the published model"
    if template is None:
        own = _own_template(folder)
        if own is None:
            yield f"'{folder}' has no chat template; name one in chat_template"
        elif problem := template_problem(own):
            yield f"the chat template in '{folder}' is of no use: {problem}, or name one in chat_template"
    if _lacks_pad(folder):
        yield f"'{folder}' has no pad token; name one as pad_token in its tokenizer_config.json"
    if lacking := [one for one in dict.fromkeys(_modules(folder, config)) if not _installed(one)]:
        names = " ".join(PACKAGES.get(one, one) for one in lacking)
        yield f"the processor in '{folder}' needs packages that are not installed: pip install {names}"


def row_problems(name: str, row: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """What is wrong with a row of `models`, each with its key; `folder`, of its files, may be still to be fetched."""
    template = row["chat_template"]
    if problem := template_problem(template):
        yield f"models.{name}.chat_template: {problem}"
    yield from (f"models.{name}.source: {one}" for one in problems(folder, template))


def _own_template(folder: Path) -> str | None:
    """The chat template of a checkpoint, or the path of its file; of several the default one."""
    if (folder / "chat_template.jinja").is_file():
        return str(folder / "chat_template.jinja")
    described = [
        _json(folder / name)
        for name in ("chat_template.json", "processor_config.json", "tokenizer_config.json")
    ]
    found = next((one["chat_template"] for one in described if one.get("chat_template")), None)
    if isinstance(found, list):
        found = {one.get("name"): one.get("template") for one in found if isinstance(one, dict)}
    found = found.get("default") if isinstance(found, dict) else found
    return f"{found}\n" if found else None


def _lacks_pad(folder: Path) -> bool:
    """Whether a tokenizer surely has no pad token: neither its files nor its class name one."""
    described = _json(folder / "tokenizer_config.json")
    if (
        not described
        or _json(folder / "special_tokens_map.json").get("pad_token")
        or described.get("pad_token")
    ):
        return False
    kind = str(described.get("tokenizer_class") or "").removesuffix("Fast")
    return "pad_token" in described or kind in PLAIN_TOKENIZERS


def _modules(folder: Path, config: dict[str, Any]) -> Iterator[str]:
    if not (folder / "tokenizer.json").is_file():
        for pattern, modules in FILES.items():
            if any(folder.glob(pattern)):
                yield from modules
    if (folder / "video_preprocessor_config.json").is_file():
        yield "torchvision"
    for name in (*PROCESSORS, "tokenizer_config.json"):
        yield from CLASSES.get(str(_json(folder / name).get("processor_class")), ())
    yield from (module for kind in _kinds(config) for module in TOWERS.get(kind, ()))


def _kinds(config: Any) -> Iterator[str]:
    """Every `model_type` in a configuration."""
    if isinstance(config, dict):
        if isinstance(config.get("model_type"), str):
            yield config["model_type"]
        for value in config.values():
            yield from _kinds(value)


def _damaged(path: Path) -> bool:
    """Whether a file holds something, but no object of JSON."""
    try:
        text = read_text(path)
        return bool(text) and not isinstance(json.loads(text), dict)
    except OSError:
        return False
    except (ValueError, RecursionError):
        return True


def _json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is none, or a damaged one (`_damaged`)."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that it is in
        return False
