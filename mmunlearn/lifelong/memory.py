"""What experts take in memory, as tables read it, without a library that loads them."""

from __future__ import annotations

from mmunlearn.records import Record


class Memory(Record):
    """memory.json: what experts take on the loaded base.

    Attributes:
        base_bytes: of the base alone.
        expert_bytes, parameters: of one expert, the largest.
        experts: bytes of all experts after one task, two tasks, ..., in the order; empty without experts.
        peak_memory_gb: of the whole job: see `provenance.peak_memory_gb`.
    """

    base_bytes: int
    expert_bytes: int
    parameters: int
    experts: list[int]
    peak_memory_gb: float
