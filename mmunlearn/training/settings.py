"""How a training is optimised, and on what machine it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class LoopSettings:
    """The optimisation of one recipe. `batch` counts examples of a forward pass, in every view."""

    batch: int
    accumulation: int
    learning_rate: float
    schedule: str
    warmup_steps: int
    weight_decay: float
    max_grad_norm: float
    save_steps: int
    seed: int

    @property
    def examples(self) -> int:
        """Examples of an optimizer step in every view, whatever the number of processes."""
        return self.batch * self.accumulation


@dataclass(frozen=True)
class Machine:
    """What a training runs on; none of it but the precision changes a result by more than rounding.

    Attributes:
        processes: one a GPU; more than one are started by `accelerate launch`.
        accelerate_config: a file of `accelerate config`, for FSDP, DeepSpeed or several machines. Passed through
            as it is; None: plain data parallel training.
        checkpointing: recompute activations in the backward pass instead of keeping them.
        precision: `none`, or `bf16` for automatic mixed precision. Adapter weights stay float32 in both.
        trackers: `tensorboard`, `wandb`, or both.
    """

    processes: int = 1
    accelerate_config: str | None = None
    checkpointing: bool = False
    precision: str = "none"
    trackers: Sequence[str] = ()
