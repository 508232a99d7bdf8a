"""Seconds a FLUX picture takes: one at a time or several, eager or with compiled blocks, and the memory of each.

Speed does not depend on the weights, so they are random, of FLUX.1-dev's sizes; no file is read. Needs a CUDA
device with 40 GB or more for the real sizes. Every variant is warmed up, then all take turns for some rounds, so
that a device that slows down slows all of them; the table gives medians, their range, and ratios to the first row.

    python benchmarks/flux_throughput.py                        # 1024 pixels, 28 steps, batches of 1 and 5
    python benchmarks/flux_throughput.py --size 512 --rounds 5
    python benchmarks/flux_throughput.py --tiny                 # a toy on the CPU: shows that the script runs
"""

from __future__ import annotations

import argparse
import contextlib
import time
from statistics import median
from typing import Any

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

TRANSFORMER = {
    "patch_size": 1, "in_channels": 64, "num_layers": 19, "num_single_layers": 38, "attention_head_dim": 128,
    "num_attention_heads": 24, "joint_attention_dim": 4096, "pooled_projection_dim": 768, "guidance_embeds": True,
    "axes_dims_rope": (16, 56, 56),
}  # fmt: skip
TINY = {
    "num_layers": 1, "num_single_layers": 1, "attention_head_dim": 16, "num_attention_heads": 2,
    "joint_attention_dim": 32, "pooled_projection_dim": 32, "axes_dims_rope": (4, 4, 8),
}  # fmt: skip
GUIDANCE = 3.5


def build(tiny: bool, device: str) -> FluxPipeline:
    """The pipeline without text encoders, bfloat16 on CUDA and float32 on the CPU."""
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16 if device == "cuda" else torch.float32)
    torch.manual_seed(0)
    widths = (8,) * 4 if tiny else (128, 256, 512, 512)
    try:
        with torch.device(device):
            transformer = FluxTransformer2DModel(**(TRANSFORMER | TINY if tiny else TRANSFORMER))
            vae = AutoencoderKL(
                block_out_channels=widths, down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=2, latent_channels=16,
                norm_num_groups=1 if tiny else 32, use_quant_conv=False, use_post_quant_conv=False,
                shift_factor=0.1159, scaling_factor=0.3611,
            )  # fmt: skip
    finally:
        torch.set_default_dtype(usual)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
    absent = dict.fromkeys(("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2"))
    pipeline = FluxPipeline(scheduler=scheduler, vae=vae.eval(), transformer=transformer.eval(), **absent)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.vae.enable_slicing()
    pipeline.transformer.compile_repeated_blocks(dynamic=False)
    return pipeline


def draw(
    pipeline: FluxPipeline, batch: int, compiled: bool, steps: int, size: int, tokens: int
) -> tuple[float, float]:
    """Draw a batch; give seconds a picture, and the peak of allocated GPU memory in GB (NaN on the CPU)."""
    config, on_gpu = pipeline.transformer.config, pipeline.device.type == "cuda"
    place: dict[str, Any] = {"device": pipeline.device, "dtype": pipeline.transformer.dtype}
    stance = contextlib.nullcontext() if compiled else torch.compiler.set_stance("force_eager")
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
        torch.cuda.synchronize()
    start = time.perf_counter()
    with stance:
        pipeline(
            prompt_embeds=torch.randn(batch, tokens, config.joint_attention_dim, **place),
            pooled_prompt_embeds=torch.randn(batch, config.pooled_projection_dim, **place),
            height=size, width=size, num_inference_steps=steps, guidance_scale=GUIDANCE,
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in range(batch)],
        )  # fmt: skip
    if on_gpu:
        torch.cuda.synchronize()
    peak = torch.cuda.max_memory_allocated() / 1e9 if on_gpu else float("nan")
    return (time.perf_counter() - start) / batch, peak


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiny", action="store_true", help="a toy model on the CPU")
    parser.add_argument("--steps", type=int, default=28)
    parser.add_argument("--size", type=int, default=1024, help="side of a picture, a multiple of 16")
    parser.add_argument("--tokens", type=int, default=512, help="max_sequence_length")
    parser.add_argument("--batch", type=int, default=5, help="the larger batch")
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds, after a warm-up")
    args = parser.parse_args()
    if args.tiny:
        args.steps, args.size, args.tokens = 2, 64, 16
    elif not torch.cuda.is_available():
        parser.error("the real sizes need a CUDA device, and torch finds none; try --tiny")
    device = "cpu" if args.tiny else "cuda"
    pipeline = build(args.tiny, device)
    shape = (args.steps, args.size, args.tokens)
    variants = [(batch, compiled) for compiled in (False, True) for batch in (1, args.batch)]
    warm_up = {variant: draw(pipeline, *variant, *shape)[0] * variant[0] for variant in variants}
    timed: dict[tuple[int, bool], list[tuple[float, float]]] = {variant: [] for variant in variants}
    for _ in range(args.rounds):
        for variant in variants:
            timed[variant].append(draw(pipeline, *variant, *shape))
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU, toy sizes"
    print(f"{name}; torch {torch.__version__}; {args.size} pixels, {args.steps} steps, {args.tokens} tokens")
    print(
        f"{'batch':>5} {'mode':>8} {'s/picture':>10} {'range':>17} {'ratio':>6} {'peak GB':>8} {'first call s':>13}"
    )
    base = median(seconds for seconds, _ in timed[variants[0]])
    for batch, compiled in variants:
        seconds = [row[0] for row in timed[batch, compiled]]
        middle, peak = median(seconds), max(row[1] for row in timed[batch, compiled])
        span = f"{min(seconds):.3f} to {max(seconds):.3f}"
        print(
            f"{batch:>5} {'compiled' if compiled else 'eager':>8} {middle:>10.3f} {span:>17} "
            f"{middle / base:>6.2f} {peak:>8.1f} {warm_up[batch, compiled]:>13.1f}"
        )


if __name__ == "__main__":
    main()
