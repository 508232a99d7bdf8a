"""The truth about planted defects, told after the fact.

Manifest and filters know nothing of defects. The generator plans them from the image id, the attempt, its seed
and the guidance scale alone, so this replays the plan for every drawn candidate.
"""

from __future__ import annotations

from pathlib import Path

from mmunlearn.pocket.defects import plan_defect
from mmunlearn.records import Record, read_manifest, write_jsonl


class Truth(Record):
    """What is wrong with one candidate; `defect` is empty where nothing is."""

    image_id: str
    attempt: int
    defect: str


def write_truth(manifest: Path, output: Path, *, seed: int, defect_rate: float) -> None:
    """Write one row a candidate of the manifest, in its order."""
    write_jsonl(
        output,
        [
            Truth(
                image_id=row.image_id,
                attempt=row.attempt,
                defect=plan_defect(row.image_id, row.attempt, seed, row.guidance_scale, defect_rate) or "",
            )
            for row in read_manifest(manifest)
        ],
    )
