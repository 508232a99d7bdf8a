"""Model families behind a registry: one family, one file, one line here.

Imported by the Snakefile: nothing heavy here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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

CACHED = ("llava", "llava_next", "qwen3_vl")
"""Families whose features are sooner read than computed. Of Mllama a picture's are 52 MB."""
UNCACHED = ("other",)
"""Families that keep no features, whatever a row says: their processor makes all inputs at once."""

RECENT = 64
"""Pictures whose pixels, in memory, and whose features, where the model is, stay at hand where features are not kept on
disk (Llama 11B: 3.4 GB)."""


def caches_features(row: Mapping[str, Any]) -> bool:
    """Whether the vision features of a row of `models` are kept on disk: as it says, by default as its family does."""
    family, chosen = row["family"], row.get("cache_features")
    return family not in UNCACHED and (family in CACHED if chosen is None else chosen)
