"""How the pictures of every family enter its model."""

from __future__ import annotations

from mmunlearn.models.inputs.base import Inputs
from mmunlearn.models.inputs.llava import LlavaInputs
from mmunlearn.models.inputs.llava_next import LlavaNextInputs
from mmunlearn.models.inputs.mllama import MllamaInputs
from mmunlearn.models.inputs.processed import ProcessedInputs
from mmunlearn.models.inputs.qwen3_vl import Qwen3VLInputs

INPUTS: dict[str, Inputs] = {
    "llava": LlavaInputs(),
    "mllama": MllamaInputs(),
    "llava_next": LlavaNextInputs(),
    "qwen3_vl": Qwen3VLInputs(),
    "other": ProcessedInputs(),
}
"""By family."""
