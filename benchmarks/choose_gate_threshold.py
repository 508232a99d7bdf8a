"""How the threshold of the pocket's gate `clip` in config.yaml is chosen: by a rule written down before any result was
seen on this base.

The rule. Pictures of the default task set are compared with prototypes on two selection seeds (201 and 202: other
entities and other pictures than any table reports). After the last task, take the threshold of the grid (0.50 to 0.99
by 0.01) with the largest balanced share, a mean over both seeds and over

- forgotten test pictures that go to the expert of their own task, and
- retained and untouched test pictures that go to the base.

Of equal ones the lowest is taken. Nothing else is looked at: no answer, no rating, no other gate.

    python benchmarks/choose_gate_threshold.py        # writes benchmarks/gate_thresholds.csv
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "benchmarks/gate_thresholds.csv"
SEEDS, MODEL, GATE = (201, 202), "pocket-llava", "clip"
GRID = [round(0.5 + 0.01 * step, 2) for step in range(50)]


def prepare(seed: int) -> Path:
    """A selection seed's questions and the gate's replies; gives their folder."""
    scale = f"lifelong-selection-{seed}"
    folder = Path("results") / scale / "lifelong" / MODEL
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as overlay:
        changes = {
            "scale": scale,
            "seed": seed,
            "seeds": [seed],
            "ceiling_seed": None,
            "outputs": ["lifelong"],
        }
        yaml.safe_dump(changes, overlay)
        overlay.flush()
        subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "2", str(folder / f"gates/{GATE}.jsonl"),
             "--configfile", overlay.name],
            check=True,
        )  # fmt: skip
    return folder


def shares(folder: Path) -> list[tuple[float, float]]:
    """For each threshold: forgotten pictures with their own expert, and others with the base."""
    from mmunlearn.lifelong.gate_accuracy import destinations
    from mmunlearn.lifelong.lumoe import read_replies
    from mmunlearn.lifelong.routing import routes_of
    from mmunlearn.records import read_jsonl
    from mmunlearn.tasks import TaskQuestion

    rows = read_jsonl(folder / "questions.jsonl", TaskQuestion)
    replies = read_replies(folder / f"gates/{GATE}.jsonl", rows)
    asked, known = [row for row in rows if row.asked], {row.question_id: row for row in rows}
    tasks = sorted({row.task for row in rows} - {""})
    pairs = []
    for threshold in GRID:
        found = destinations(routes_of(asked, tasks, GATE, replies, threshold, rows), known)
        right = [one.outcome == "right" for one in found if one.role == "forget"]
        base = [one.outcome == "base" for one in found if one.role != "forget"]
        pairs.append((sum(right) / len(right), sum(base) / len(base)))
    return pairs


def main() -> None:
    os.chdir(ROOT)
    by_seed = {seed: shares(prepare(seed)) for seed in SEEDS}
    balanced = [sum(map(sum, pairs)) / (2 * len(SEEDS)) for pairs in zip(*by_seed.values(), strict=True)]
    chosen = GRID[balanced.index(max(balanced))]
    with TABLE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ["threshold", *(f"{name}_{seed}" for seed in SEEDS for name in ("right", "base")), "balanced"]
        )
        for threshold, pairs, mean in zip(GRID, zip(*by_seed.values(), strict=True), balanced, strict=True):
            writer.writerow([threshold, *(round(one, 4) for pair in pairs for one in pair), round(mean, 4)])
    print(f"{GATE}: {chosen}, balanced share {max(balanced):.3f}")


if __name__ == "__main__":
    main()
