"""How much of a GPU's memory training, answering and drawing take, by arithmetic: nothing heavy is imported or loaded.

All in bytes. Each function gives the parts, whose sum is the peak. What is counted per token and layer follows a
decoder layer of Llama's form with LoRA on all seven linears; tests/unit/test_memory.py compares it with what autograd
keeps of such a layer. Networks whose files are not there yet have their shapes from resources/model_shapes.yaml. A
vision tower's own reading, which keeps nothing, is not counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mmunlearn.files import read_text, read_yaml
from mmunlearn.models.families import RECENT
from mmunlearn.weights.tensors import read_header

RESOURCE = Path(__file__).resolve().parents[2] / "resources" / "model_shapes.yaml"
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Of a number, by `dtype`."""
CONTEXT, SPLIT = 1.0e9, 0.05
"""Assumed: CUDA's context with its libraries' workspaces, and the share of the rest that the allocator cannot use."""
ADAPTER = {"weights": 4, "gradient": 4, "AdamW": 8, "last finite weights": 4, "reference": 4}
"""Bytes of a number of LoRA while it trains: float32, two moments, the copy that a loss that is not finite goes back
to, and the frozen reference of KL."""
LOGIT = 22
"""Bytes of a logit at an answer token: itself, its float32, log-softmax and gradients in both widths (16), and the
reference's (6)."""
FLUX_KEPT = 16
"""Widths of hidden states alive at once in a single-stream block: residual, norm, queries, keys and values, the wider
half of the feed-forward part (4), its activation, and both halves joined (5). No gradients."""
DEEPSTACK = (8, 16, 24)
"""Layers of Qwen3-VL's tower that embed a picture besides the last, where its config.json leaves them out."""
FILTER_BYTES = 4  # filters compute in float32


@dataclass(frozen=True)
class Shape:
    """What decides a model's memory.

    Attributes:
        parameters: all of them.
        layers, hidden, intermediate, vocabulary: of the language model.
        queries, keys: width of all heads' queries, and of all heads' keys.
        picture: tokens of a picture among those of the text, at most.
        states: of a picture that stays outside the text, which `cross` layers look at.
        levels: embeddings of a picture's token.
    """

    parameters: int
    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    queries: int
    keys: int
    picture: int
    states: int = 0
    cross: int = 0
    levels: int = 1


@dataclass(frozen=True)
class Batch:
    """Rows of a forward pass, and the tokens of text in each; `answers` are those that are learnt or written."""

    rows: int
    text: int
    answers: int


@cache
def table() -> dict[str, Any]:
    """resources/model_shapes.yaml."""
    return read_yaml(RESOURCE)


def read_shape(name: str, folder: Path, family: str, side: int) -> Shape | None:
    """The shape of a checkpoint: of its own files, or of the table where these are not there; None: it is not known.

    Args:
        name: of the weights, a key of the table.
        side: pixels of a picture's side, of which the tokens of some families depend.
    """
    row = table()["models"].get(name, {})
    try:
        config = json.loads(read_text(folder / "config.json"))
        parameters = sum(map(count_parameters, sorted(folder.glob("*.safetensors"))))
    except (OSError, ValueError):
        config, parameters = row, 0
    parameters = parameters or row.get("parameters")
    try:
        return shape_of(config, parameters, family, side) if parameters else None
    except (KeyError, TypeError, AttributeError):
        return None


def count_parameters(path: Path) -> int:
    """Numbers in a safetensors file, by its header. Raises ValueError where it is none."""
    count = 0
    for entry in read_header(path).values():
        numbers = 1
        for size in entry.shape:
            numbers *= size
        count += numbers
    return count


def shape_of(config: Mapping[str, Any], parameters: int, family: str, side: int) -> Shape:
    """A shape by a config.json. Raises KeyError where it leaves out what no default is known for."""
    text = config.get("text_config", config)
    text = {**table()["defaults"].get(text.get("model_type"), {}), **text}
    heads, hidden = text["num_attention_heads"], text["hidden_size"]
    width = text.get("head_dim") or hidden // heads
    vision = config["vision_config"]
    picture, states = picture_tokens(vision, family, side)
    deepstack = vision.get("deepstack_visual_indexes", DEEPSTACK) if family == "qwen3_vl" else ()
    return Shape(
        parameters=parameters,
        layers=text["num_hidden_layers"],
        hidden=hidden,
        intermediate=text["intermediate_size"],
        vocabulary=text["vocab_size"],
        queries=heads * width,
        keys=(text.get("num_key_value_heads") or heads) * width,
        picture=picture,
        states=states,
        cross=len(text.get("cross_attention_layers", ())),
        levels=1 + len(deepstack),
    )


def picture_tokens(vision: Mapping[str, Any], family: str, side: int) -> tuple[int, int]:
    """Tokens of a picture among those of the text, and states outside them. Raises KeyError for another family."""
    if family == "qwen3_vl":  # a token for merge x merge patches
        return (side // (vision["patch_size"] * vision["spatial_merge_size"])) ** 2, 0
    patches = vision["image_size"] // vision["patch_size"]
    return {
        "llava": (patches**2, 0),
        "llava_next": (
            5 * patches**2 + 2 * patches,
            0,
        ),  # the whole, 2 x 2 tiles, and a newline a row of these
        "mllama": (1, vision.get("max_num_tiles", 4) * (patches**2 + 1)),
    }[family]


def lora_parameters(shape: Shape, rank: int) -> int:
    """Numbers of an adapter on the seven linears of every layer: rank x (inputs + outputs) each."""
    attention = 2 * (shape.hidden + shape.queries) + 2 * (shape.hidden + shape.keys)
    return rank * shape.layers * (attention + 3 * (shape.hidden + shape.intermediate))


def layer_bytes(shape: Shape, dropout: bool) -> int:
    """What autograd keeps of a token in a layer, in 16 bits: both norms in float32, inputs of the linears, queries,
    keys and values, gate, up and what is made of them; with LoRA's dropout a copy (2) and a mask (1) an input of a
    linear."""
    kept = 20 * shape.hidden + 4 * shape.queries + 4 * shape.keys + 8 * shape.intermediate
    return kept + 3 * (5 * shape.hidden + shape.queries + shape.intermediate) * dropout


def at_hand(shape: Shape, dtype: str) -> float:
    """Bytes of the features that `models/tower.py` has at hand where none are kept on disk, in the base's dtype."""
    return RECENT * (shape.states or shape.picture * shape.levels) * shape.hidden * BYTES[dtype]


def training(
    shape: Shape, batch: Batch, dtype: str, lora: Mapping[str, Any], *, mixed: bool, checkpointing: bool
) -> dict[str, float]:
    """Parts of the memory of a training step.

    Args:
        batch: rows of all views of a forward pass.
        dtype: of the base's weights.
        lora: `rank` and `dropout`.
        mixed: whether it computes in 16 bits.
        checkpointing: activations are recomputed: of a layer the input is kept, and one layer whole at a time.
    """
    wide = 1 if mixed or BYTES[dtype] == 2 else 2
    tokens, states = batch.rows * (shape.picture + batch.text), batch.rows * shape.states
    layer = tokens * layer_bytes(shape, lora["dropout"] > 0)
    looked_at = states * (4 * shape.keys + 6 * shape.hidden * (lora["dropout"] > 0))
    activations = layer * shape.layers + looked_at * shape.cross
    if checkpointing:
        activations = tokens * 2 * shape.hidden * shape.layers + layer + looked_at
    return {
        "weights": shape.parameters * BYTES[dtype],
        "LoRA and AdamW": lora_parameters(shape, lora["rank"]) * sum(ADAPTER.values()),
        "activations": (activations + states * 2 * shape.hidden) * wide,
        "logits": batch.rows * batch.answers * shape.vocabulary * LOGIT,
    }


def answering(shape: Shape, batch: Batch, dtype: str, rank: int, *, mixed: bool) -> dict[str, float]:
    """Parts of the memory of answering a batch of questions, a row each: `batch.answers` tokens are written."""
    wide = 2 if mixed or BYTES[dtype] == 2 else 4
    prompt = batch.rows * (shape.picture + batch.text)
    kept = (prompt + batch.rows * batch.answers) * (shape.layers - shape.cross)
    kept += batch.rows * shape.states * shape.cross
    read = prompt * (3 * shape.intermediate + 4 * shape.hidden) + batch.rows * shape.states * shape.hidden
    return {
        "weights": shape.parameters * BYTES[dtype] + lora_parameters(shape, rank) * 4,
        "keys and values": kept * 2 * shape.keys * wide,
        "reading": (read + batch.rows * shape.vocabulary) * wide,
    }


def drawing(images: Mapping[str, Any]) -> dict[str, float]:
    """Parts of the memory of FLUX and the filters in one process: the text encoders, which go before transformer and
    decoder come, or these; whichever is larger.

    Args:
        images: section of the configuration.
    """
    flux, sizes = images["flux"], table()["drawing"]
    wide = BYTES[flux["dtype"]]
    tokens = (images["size"] // 16) ** 2 + flux["max_sequence_length"]
    networks = sum(table()["filters"].values()) * FILTER_BYTES if images["scorers"] == "networks" else 0
    encoders = {"text encoders": (sizes["text_encoder"] + sizes["text_encoder_2"]) * wide}
    painters = {
        "transformer": sizes["transformer"] * (wide if flux["quantisation"] == "none" else 1),
        "activations": flux["batch"] * tokens * sizes["hidden"] * FLUX_KEPT * wide,
        "decoder": sizes["vae"] * wide + 4 * images["size"] ** 2 * sizes["decoder"] * wide,
    }
    larger = max(encoders, painters, key=lambda parts: sum(parts.values()))
    return {**larger, "filters": networks} if networks else larger


def peak(parts: Mapping[str, float]) -> float:
    """All parts, and what CUDA itself takes."""
    return CONTEXT + sum(parts.values()) * (1 + SPLIT)
