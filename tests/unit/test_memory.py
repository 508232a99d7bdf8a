"""Memory of a GPU by arithmetic: shapes, what training, answering and drawing take, and what autograd keeps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from safetensors.numpy import save_file

from mmunlearn.workflow import memory
from mmunlearn.workflow.memory import (
    Batch,
    Shape,
    answering,
    at_hand,
    drawing,
    layer_bytes,
    lora_parameters,
    peak,
    read_shape,
)

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = Path("nowhere")


@pytest.mark.parametrize(
    ("name", "family", "shape"),
    [  # parameters are those of the published checkpoints; tokens of a picture of 1,024 x 1,024 pixels
        ("llava-1.5-7b", "llava", Shape(7063427072, 32, 4096, 11008, 32064, 4096, 4096, 576)),
        ("llava-v1.6-7b", "llava_next", Shape(7063431168, 32, 4096, 11008, 32064, 4096, 4096, 2928)),
        ("llava-v1.6-13b", "llava_next", Shape(13351499776, 40, 5120, 13824, 32064, 5120, 5120, 2928)),
        ("llama-3.2-vision-11b", "mllama", Shape(10670220835, 40, 4096, 14336, 128256, 4096, 1024, 1, 6404, 8)),
        ("qwen3-vl-4b", "qwen3_vl", Shape(4437815808, 36, 2560, 9728, 151936, 4096, 1024, 1024, levels=4)),
    ],
)  # fmt: skip
def test_shapes_of_networks_that_are_not_there(name, family, shape):
    assert read_shape(name, NOWHERE, family, 1024) == shape


def test_every_checkpoint_that_a_preset_trains_has_a_shape():
    for preset in (ROOT / "presets").glob("*.yaml"):
        for row in yaml.safe_load(preset.read_text()).get("models", {}).values():
            if row:
                assert read_shape(Path(row["source"]).name, NOWHERE, row["family"], 1024), row


def test_a_checkpoint_that_is_there_counts_by_its_own_files(tmp_path):
    shipped = ROOT / "resources" / "pocket" / "llava"
    assert read_shape("llava-1.5-7b", shipped, "llava", 256) == Shape(
        2100416, 3, 128, 384, 1024, 128, 128, 36
    )
    import numpy as np

    text = {
        "model_type": "llama",
        "hidden_size": 64,
        "num_hidden_layers": 2,
    }  # all else as the library has it
    config = {"text_config": text, "vision_config": {"image_size": 28, "patch_size": 14}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    for number in (1, 2):
        save_file({f"w{number}": np.zeros((3, number), np.float16)}, tmp_path / f"model-{number}.safetensors")
    assert read_shape("of mine", tmp_path, "llava", 256) == Shape(9, 2, 64, 11008, 32000, 64, 64, 4)
    assert read_shape("of mine", tmp_path, "other", 256) is None, "a picture's tokens are not known"
    (tmp_path / "model-2.safetensors").write_bytes(b"cut off")
    assert read_shape("of mine", tmp_path, "llava", 256) is None
    assert read_shape("llava-1.5-7b", tmp_path, "llava", 256).parameters == 7063427072


LLAVA, LLAMA = (
    read_shape(name, NOWHERE, family, 1024)
    for name, family in (("llava-1.5-7b", "llava"), ("llama-3.2-vision-11b", "mllama"))
)


def test_an_adapter_s_parameters():
    """Rank x (inputs + outputs); 319,815,680 is what peft prints for rank 128 on LLaMA-7B's seven linears."""
    assert lora_parameters(LLAVA, 128) == 319_815_680
    assert lora_parameters(LLAMA, 1) == 40 * (2 * 8192 + 2 * 5120 + 3 * 18432)


def test_the_parts_of_a_training_step():
    batch, lora = Batch(rows=4, text=100, answers=60), {"rank": 128, "dropout": 0.05}
    kept = memory.training(LLAVA, batch, "bfloat16", lora, mixed=True, checkpointing=False)
    again = memory.training(LLAVA, batch, "bfloat16", lora, mixed=True, checkpointing=True)
    layer = 24 * 4096 + 4 * 4096 + 8 * 11008 + 3 * (6 * 4096 + 11008)
    assert kept == {
        "weights": 2 * 7063427072,
        "LoRA and AdamW": 24 * 319_815_680,
        "activations": 4 * 676 * 32 * layer,
        "logits": 4 * 60 * 32064 * 22,
    }
    assert again == kept | {"activations": 4 * 676 * (32 * 2 * 4096 + layer)}
    plain = memory.training(
        LLAVA, batch, "float32", lora | {"dropout": 0.0}, mixed=False, checkpointing=False
    )
    assert plain["weights"] == 2 * kept["weights"]
    assert plain["activations"] == 2 * 4 * 676 * 32 * (24 * 4096 + 4 * 4096 + 8 * 11008)
    assert peak(again) == 1.0e9 + 1.05 * sum(again.values())
    states = 4 * 6404
    outside = memory.training(LLAMA, batch, "bfloat16", lora, mixed=True, checkpointing=True)["activations"]
    layer = 24 * 4096 + 4 * 1024 + 8 * 14336 + 3 * (6 * 4096 + 14336)
    looked_at = states * (4 * 1024 + 6 * 4096)
    assert outside == 4 * 101 * (40 * 2 * 4096 + layer) + looked_at + states * 2 * 4096


def test_features_at_hand():
    """64 pictures: Llama's 4 tiles of 1,601 states, LLaVA's 576 tokens, Qwen3-VL's with three levels more."""
    assert at_hand(LLAMA, "bfloat16") == 64 * 6404 * 4096 * 2
    assert at_hand(LLAVA, "float32") == 64 * 576 * 4096 * 4
    qwen = read_shape("qwen3-vl-4b", NOWHERE, "qwen3_vl", 512)
    assert at_hand(qwen, "bfloat16") == 64 * 256 * 4 * 2560 * 2


def test_the_parts_of_answering():
    parts = answering(LLAVA, Batch(32, 24, 128), "bfloat16", 128, mixed=True)
    assert parts == {
        "weights": 2 * 7063427072 + 4 * 319_815_680,
        "keys and values": 32 * (576 + 24 + 128) * 32 * 2 * 4096 * 2,
        "reading": (32 * 600 * (3 * 11008 + 4 * 4096) + 32 * 32064) * 2,
    }
    parts = answering(LLAMA, Batch(8, 24, 128), "float32", 128, mixed=False)
    assert parts["keys and values"] == 8 * (153 * 32 + 6404 * 8) * 2 * 1024 * 4, (
        "eight layers look at the picture alone"
    )


def test_the_parts_of_drawing():
    images = yaml.safe_load((ROOT / "config.yaml").read_text())["images"] | {
        "size": 1024,
        "scorers": "networks",
    }
    parts = drawing(images)
    assert parts == {
        "transformer": 2 * 11901408320,
        "activations": 5 * (64 * 64 + 512) * 3072 * 16 * 2,
        "decoder": 2 * 83819683 + 4 * 1024 * 1024 * 256 * 2,
        "filters": 4 * (23978474 + 427616513 + 85798656 + 27125825 + 927969),
    }
    half = drawing(
        images | {"scorers": "pocket", "flux": images["flux"] | {"quantisation": "int8", "batch": 1}}
    )
    assert half["transformer"] == 11901408320 and "filters" not in half
    wide = images | {
        "size": 256,
        "flux": images["flux"] | {"dtype": "float32", "quantisation": "fp8", "batch": 1},
    }
    assert drawing(wide)["text encoders"] == 4 * (123060480 + 4762310656), "the larger of the two phases"


@pytest.mark.parametrize("size", [(256, 512, 8), (256, 1024, 4)])
def test_what_a_layer_keeps_is_what_autograd_keeps(size):
    """Of Llama's decoder with LoRA on all seven linears under autocast, in bytes a token: two layers less one."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaModel

    hidden, intermediate, heads = size
    linears = r".*layers\.\d+\.(self_attn\.(q|k|v|o)_proj|mlp\.(gate|up|down)_proj)"

    def kept(layers: int) -> float:
        model = LlamaModel(
            LlamaConfig(
                vocab_size=16, hidden_size=hidden, intermediate_size=intermediate, num_hidden_layers=layers,
                num_attention_heads=8, num_key_value_heads=heads,
            )
        ).to(torch.bfloat16)  # fmt: skip
        model = get_peft_model(model, LoraConfig(r=1, target_modules=linears)).train()
        own = {one.untyped_storage().data_ptr() for one in model.parameters()}
        found = {}

        def keep(tensor):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                found[storage.data_ptr()] = (storage.nbytes(), tensor)
            return tensor

        inputs = torch.zeros(2, 128, hidden, dtype=torch.bfloat16, requires_grad=True)
        with (
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
            torch.autocast("cpu", torch.bfloat16),
        ):
            model(inputs_embeds=inputs)
        return sum(size for size, _ in found.values()) / 256

    keys = heads * hidden // 8
    shape = Shape(0, 1, hidden, intermediate, 16, hidden, keys, 0)
    assert kept(2) - kept(1) == pytest.approx(layer_bytes(shape, dropout=False), rel=0.05)
