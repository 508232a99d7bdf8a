"""Attack by quantisation: does rounding the weights bring the forgotten back?

Unlearning moves weights little; a coarse grid can round the difference away (arXiv 2410.16454). The adapter is merged
into the language model's linear layers, whose weights are then rounded to a symmetric absmax grid: 8 bits with one
scale an output channel, fewer bits with one scale a group of inputs. Weights are put back in the model's own type, so
the result is exact on any machine and needs no kernel. Embeddings and the output head stay as they are, as in
bitsandbytes, whose 4-bit grid (NF4) is another one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmunlearn.records import Finding
from mmunlearn.robustness.base import READS, AttackMethod
from mmunlearn.robustness.target import TargetModel


def quantise(
    target: TargetModel, *, bits: Sequence[int], group: int
) -> tuple[list[Finding], dict[str, object]]:
    """Efficacy on forget_train and what is left of the retain set, unrounded and at each width.

    The adapter is merged for good and the base rounded: no other attack can follow.

    Args:
        bits: widths of the grids.
        group: inputs that share a scale below 8 bits.
    """
    target.model = target.model.merge_and_unload()
    linears = [one for one in target.model.get_decoder().modules() if isinstance(one, torch.nn.Linear)]
    whole = [one.weight.detach().clone() for one in linears]
    forget, retain = (
        target.sample(target.questions_on(images))
        for images in (target.split.forget_train, target.split.retain)
    )
    findings, moved = [], {}
    for width in (None, *bits):
        setting = "unrounded" if width is None else f"{width} bit"
        if width is not None:
            moved[setting] = _round(linears, whole, width, None if width >= 8 else group)
        findings += [
            target.finding(
                setting, "efficacy", target.efficacy(target.answers(forget)), target.clusters(forget)
            ),
            target.finding(
                setting, "retain", target.recovery(target.answers(retain)), target.clusters(retain)
            ),
        ]
    return findings, {"linears": len(linears), "relative_error": moved}


def _round(
    linears: Sequence[torch.nn.Linear], whole: Sequence[Tensor], bits: int, group: int | None
) -> float:
    """Put rounded weights into the layers; the relative error of all of them, in the Frobenius norm."""
    error = size = 0.0
    for layer, weight in zip(linears, whole, strict=True):
        coarse = rounded(weight, bits, group)
        error += float((coarse.double() - weight.double()).square().sum())
        size += float(weight.double().square().sum())
        layer.weight.data.copy_(coarse)
    return (error / size) ** 0.5 if size else 0.0


def rounded(weight: Tensor, bits: int, group: int | None = None) -> Tensor:
    """The nearest values of a symmetric absmax grid with 2^bits - 1 levels, in the weight's type.

    Args:
        weight: (outputs, inputs).
        group: inputs of an output channel that share a scale, the last group may be smaller; None: all of them.

    Raises:
        ValueError: fewer than 2 bits, or an empty group.
    """
    if bits < 2 or (group is not None and group < 1):
        raise ValueError(
            f"a grid of {bits} bits in groups of {group} is asked for; take 2 bits or more, 1 input or more"
        )
    top = 2 ** (bits - 1) - 1
    parts = weight.float().split(group or max(weight.shape[1], 1), dim=1)
    return torch.cat([_on_grid(part, top) for part in parts], dim=1).to(weight.dtype)


def _on_grid(part: Tensor, top: int) -> Tensor:
    scale = part.abs().amax(dim=1, keepdim=True) / top
    steps = torch.where(
        scale > 0, part / scale.where(scale > 0, torch.ones_like(scale)), torch.zeros_like(part)
    )
    return steps.round().clamp(-top, top) * scale


class Quantisation(AttackMethod):
    """The attack of this file."""

    reads = (*READS, "finetuned", "goal")
    attack = staticmethod(quantise)
