"""How the epochs of the pocket's finetuning in config.yaml are chosen: by a rule written down beforehand.

The rule. Take the fewest epochs (5, 10 or 15) with which 95% of the taught answers of each kind, persons and events,
are said word by word, for each of two training seeds (11 and 12, on the data set of base seed 11: other pictures and
other splits than any table reports). Nothing else is looked at: no unlearning, no metric, no published number.

What was changed on the way: the share was 98%, the epochs 5, 7 and 9, and rates up to 6.0e-3 were to be tried. With 5
epochs higher rates teach no more, so the rate stays; 10 epochs reach 95%, not 98%.

    python benchmarks/choose_finetuning.py           # writes benchmarks/chosen_finetuning.csv
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

SEEDS = (11, 12)
EPOCHS = (5, 10, 15)
LEARNT = 0.95
SCALE = "pocket-selection-finetuning"
ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "benchmarks/chosen_finetuning.csv"


def answers(epochs: int) -> list[Path]:
    """What the finetuned models of all seeds say to the questions that they were taught."""
    loop = {"finetune": {"epochs": epochs}}
    said = [
        f"results/{SCALE}/answers/pocket-llava/finetuned/seed-{seed}/{suite}.jsonl"
        for seed in SEEDS
        for suite in ("dataset", "real", "world")  # one job
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as overlay:
        yaml.safe_dump({"scale": SCALE, "seed": SEEDS[0], "seeds": list(SEEDS), "training": loop}, overlay)
        overlay.flush()
        subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "2", *said, "--configfile", overlay.name],
            cwd=ROOT, check=True,
        )  # fmt: skip
    return [ROOT / path for path in said if path.endswith("dataset.jsonl")]


def learnt(path: Path) -> dict[str, float]:
    """Kind of question -> share of answers that are the taught ones."""
    from mmunlearn.records import Answer, read_jsonl

    rows = read_jsonl(path, Answer)
    kinds = {kind: [row for row in rows if row.question_id.endswith(kind)] for kind in ("person", "event")}
    return {
        kind: sum(row.answer == row.reference for row in some) / len(some) for kind, some in kinds.items()
    }


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    os.chdir(ROOT)
    rows: list[dict] = []
    for epochs in EPOCHS:
        shares = [learnt(path) for path in answers(epochs)]
        rows += [{"epochs": epochs, "seed": seed} | share for seed, share in zip(SEEDS, shares, strict=True)]
        print(f"{epochs} epochs: {shares}", flush=True)
        if all(one >= LEARNT for share in shares for one in share.values()):
            break
    with TABLE.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
