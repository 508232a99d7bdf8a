"""A tiny untrained FLUX pipeline in the layout of the published repository: the real classes, in a second."""

from __future__ import annotations

import json
import string
from pathlib import Path

SHARD = 30_000  # bytes; the large components of the published repository come in shards, so these do too


def write_flux(folder: Path, seed: int = 0) -> Path:
    """Write a FluxPipeline that takes guidance and works with any size: bfloat16, safetensors, two tokenizers."""
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline
    from diffusers.utils import logging
    from transformers.utils import logging as text_logging

    logging.disable_progress_bar()
    text_logging.disable_progress_bar()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        clip, clip_tokenizer = _clip()
        t5, t5_tokenizer = _t5()
        pipeline = FluxPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
            vae=_vae(),
            text_encoder=clip,
            tokenizer=clip_tokenizer,
            text_encoder_2=t5,
            tokenizer_2=t5_tokenizer,
            transformer=_transformer(),
        )
    for model in (pipeline.vae, pipeline.transformer, clip, t5):
        torch.nn.Module.to(model, torch.bfloat16)
    pipeline.save_pretrained(folder)
    for component, model in (("transformer", pipeline.transformer), ("text_encoder_2", t5)):
        for whole in (folder / component).glob("*.safetensors"):
            whole.unlink()
        model.save_pretrained(folder / component, max_shard_size=SHARD)
    _as_published(folder)
    return folder


def _transformer():
    """One double and one single block; the hidden size is 2 heads of 16."""
    from diffusers import FluxTransformer2DModel

    return FluxTransformer2DModel(
        in_channels=64, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=32, guidance_embeds=True, axes_dims_rope=(4, 4, 8),
    )  # fmt: skip


def _vae():
    """Eight pixels a latent and 16 latent channels, as in the published one."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8,) * 4, down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=1, latent_channels=16, norm_num_groups=1,
        use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.1159, scaling_factor=0.3611,
    )  # fmt: skip


def _clip():
    """A CLIP text model that reads bytes."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)
    config = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=77, projection_dim=32, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return CLIPTextModel(config), tokenizer


def _t5():
    """A T5 encoder that reads letters."""
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    letters = string.ascii_letters + string.digits + ",.'-"
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0)]
    tokenizer = T5Tokenizer(
        vocab=[*special, *((letter, -3.0) for letter in letters)], extra_ids=0, model_max_length=512
    )
    config = T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4,
        feed_forward_proj="gated-gelu",
    )  # fmt: skip
    return T5EncoderModel(config), tokenizer


def _as_published(folder: Path) -> None:
    """Where today's libraries write otherwise: the T5 tokenizer's class, and CLIP's vocabulary in two files."""
    index = folder / "model_index.json"
    described = json.loads(index.read_text())
    for unused in ("image_encoder", "feature_extractor"):
        described.pop(unused, None)
    described["tokenizer_2"] = ["transformers", "T5TokenizerFast"]
    index.write_text(json.dumps(described, indent=2))
    whole = folder / "tokenizer" / "tokenizer.json"
    model = json.loads(whole.read_text())["model"]
    (whole.parent / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    (whole.parent / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    whole.unlink()


def teach_face(folder: Path, steps: int = 180) -> None:
    """Teach the decoder to paint one real photograph, whatever the latents: a face that a detector finds.

    The photograph is NASA's portrait of Eileen Collins, which scikit-image brings; the pictures have 64 x 64 pixels.
    """
    import numpy as np
    import torch
    from diffusers import AutoencoderKL
    from PIL import Image
    from skimage import data

    photograph = Image.fromarray(data.astronaut()).crop((150, 20, 310, 180)).resize((64, 64))
    target = torch.from_numpy(np.array(photograph)).permute(2, 0, 1)[None].float() / 127.5 - 1
    vae = AutoencoderKL.from_pretrained(folder / "vae", dtype=torch.float32)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        vae.decoder.conv_in.weight.mul_(0.02)
    weights = [one for name, one in vae.decoder.named_parameters() if name != "conv_in.weight"]
    optimizer = torch.optim.Adam(weights, lr=8e-3)
    noise = torch.Generator().manual_seed(0)
    for _ in range(steps):
        loss = (vae.decode(torch.randn(1, 16, 8, 8, generator=noise) * 2.8).sample - target).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    vae.save_pretrained(folder / "vae")
