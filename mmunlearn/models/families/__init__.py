"""Model families behind a registry: one family, one file, one line here.

Imported by the Snakefile: nothing heavy here.
"""

from __future__ import annotations

from mmunlearn.registry import Registry

FAMILIES = Registry(
    "family",
    "mmunlearn.models.base:Base",
    {
        "llava": "mmunlearn.models.families.llava:Llava",
        "mllama": "mmunlearn.models.families.mllama:Mllama",
        "llava_next": "mmunlearn.models.families.llava_next:LlavaNext",
        "qwen3_vl": "mmunlearn.models.families.qwen3_vl:Qwen3VL",
        "other": "mmunlearn.models.families.other:Other",
    },
)
