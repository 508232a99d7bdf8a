"""Gates that look at pictures, one file each; the others (oracle, last, none) need no replies."""

from __future__ import annotations

from mmunlearn.registry import Registry

GATES = Registry(
    "gate",
    "mmunlearn.lifelong.gates.gate:Gate",
    {"vlm": "mmunlearn.lifelong.gates.vlm:VlmGate", "clip": "mmunlearn.lifelong.gates.clip:ClipGate"},
)
