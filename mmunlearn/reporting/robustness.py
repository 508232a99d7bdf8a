"""What attacks find, as a table: one row a (model, percent, method, target, attack, setting, metric).

Columns of `robustness.csv`:

- `attack`, `setting`, `metric`: relearning (`step <n>`: recovered), quantisation (`unrounded`, `<n> bit`: efficacy,
  retain), membership (`loss`, `zlib`, `min-k`, `min-k++`: auc), paraphrase (`original`, `paraphrased`,
  `worst wording`: efficacy, generality);
- `value`: mean over seeds, in [0, 100]; of `auc` in [0, 1]. High efficacy and generality: forgotten. High recovered:
  the truth is told again. High retain: the rest is still known. auc 0.5: nothing betrays the forgotten pictures;
- `n`, `low`, `high`: questions (pairs of pictures, for auc) over all seeds, and the 95% bootstrap interval over them,
  with several seeds the mean of their ends;
- `std`: sample standard deviation over seeds, empty with one; `seeds`, `seed_list`; `digest`: of all inputs;
- `reason`: why there is no value, or of which seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from statistics import fmean, stdev

from mmunlearn.records import Attack, Finding, digest_of, read_json, write_text
from mmunlearn.reporting.layout import MISSING, TARGETS, Row, Table, method_order, number, write_table
from mmunlearn.reporting.tables import TableError

COLUMNS = (
    "model", "forget_percent", "method", "target", "attack", "setting", "metric", "value", "n", "low", "high", "std",
    "seeds", "seed_list", "digest", "reason",
)  # fmt: skip
ATTACKS = {
    "relearning": "what is told of the other forget samples after finetuning on a few: near Goal is best",
    "quantisation": "efficacy on forget_train, and what is left of retain, with weights rounded: higher is better",
    "membership": "AUC of forget_train against unseen pictures of the same cells: 0.5 is best, Goal is the reference",
    "paraphrase": "efficacy (forget_train) and generality (forget_test) in other words: higher is better",
}
METRICS = ("recovered", "efficacy", "generality", "retain", "auc")


def make_robustness(attacks: Sequence[Path], out_csv: Path, out_md: Path) -> None:
    """Write the table as data and to read.

    Args:
        attacks: Attack files, one a (model, recipe, seed, split, attack), in any order.

    Raises:
        RecordError: a file is not an Attack file.
        TableError: two files hold the same attack on the same model, or there is none.
    """
    rows = robustness_rows([read_json(path, Attack) for path in attacks])
    if not rows:
        raise TableError(
            "Asked for the robustness table. Found no attack. Name a model in models and a target in dataset.targets."
        )
    write_table(out_csv, COLUMNS, rows)
    write_text(out_md, markdown(rows))


def robustness_rows(attacks: Sequence[Attack]) -> Table:
    """Rows by model, percent, method, target and attack, settings in the order in which they were tried."""
    ordered = sorted(attacks, key=lambda one: (*_key(one), one.seed))
    return [row for _, group in groupby(ordered, key=_key) for row in _rows(list(group))]


def _key(one: Attack) -> tuple:
    return (
        one.model, one.percent, method_order(one.method), TARGETS.index(one.target), list(ATTACKS).index(one.attack)
    )  # fmt: skip


def _rows(group: Sequence[Attack]) -> Table:
    """The rows of one attack on one model, pooled over seeds."""
    first, seeds = group[0], [one.seed for one in group]
    if len(set(seeds)) < len(seeds):
        raise TableError(
            f"Asked for one {first.attack} a seed of {first.method}, {first.target} of {first.model}. Found seeds "
            f"{seeds}. Pass each file once, and give each method a label of its own."
        )
    settings = dict.fromkeys((one.setting, one.metric) for attack in group for one in attack.findings)
    found = [{(one.setting, one.metric): one for one in attack.findings} for attack in group]
    common = {
        "model": first.model,
        "forget_percent": str(first.percent),
        "method": first.method,
        "target": first.target,
        "attack": first.attack,
        "seeds": str(len(seeds)),
        "seed_list": " ".join(map(str, seeds)),
        "digest": digest_of([one.digests for one in group]),
    }
    return [
        common | {"setting": key[0], "metric": key[1]} | _cells([own.get(key) for own in found], seeds)
        for key in settings
    ]


def _cells(findings: Sequence[Finding | None], seeds: Sequence[int]) -> Row:
    present = [one for one in findings if one and one.result.value is not None]
    digits = 4 if any(one.metric == "auc" for one in present) else 2
    values = {
        part: [getattr(one.result, part) for one in present if getattr(one.result, part) is not None]
        for part in ("value", "low", "high")
    }
    cells = {part: number(fmean(own), digits) if own else "" for part, own in values.items()}
    reasons = {
        seed: (one.result.reason or "no value and no reason given") if one else "not measured"
        for seed, one in zip(seeds, findings, strict=True)
        if one not in present
    }
    return cells | {
        "n": str(sum(one.result.n for one in present)),
        "std": number(stdev(values["value"]), digits) if len(present) > 1 else "",
        "reason": "; ".join(
            f"seed {seed}: {why}" if len(seeds) > 1 else why for seed, why in reasons.items()
        ),
    }


def markdown(rows: Table) -> str:
    """A part a model, an attack and a target: methods by settings, intervals in small print."""
    parts = ["# Robustness"]
    for (model, percent), of_model in groupby(rows, key=lambda row: (row["model"], row["forget_percent"])):
        parts.append(f"## {model} ({percent}% forget)")
        own = list(of_model)
        for attack, says in ATTACKS.items():
            mine = [row for row in own if row["attack"] == attack]
            if mine:
                parts.append(f"### {attack.title()}: {says}")
                parts += [
                    _grid([row for row in mine if row["target"] == target], target) for target in TARGETS
                ]
        missing = [
            f"- {row['method']}, {row['target']}, {row['attack']}, {row['setting']}, {row['metric']}: {row['reason']}"
            for row in own
            if row["reason"]
        ]
        parts += ["Missing values:\n\n" + "\n".join(missing)] if missing else []
    return "\n\n".join(filter(None, parts)) + "\n"


def _grid(rows: Table, target: str) -> str:
    if not rows:
        return ""
    ordered = sorted(rows, key=lambda row: METRICS.index(row["metric"]))
    heads = list(dict.fromkeys((row["metric"], row["setting"]) for row in ordered))
    cells = {(row["method"], row["metric"], row["setting"]): _shown(row) for row in rows}
    lines = [[target.title(), *(f"{metric}<br>{setting}" for metric, setting in heads)]]
    lines.append([":--", *("--:" for _ in heads)])
    for method in dict.fromkeys(row["method"] for row in rows):
        lines.append([method, *(cells.get((method, *head), MISSING) for head in heads)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(row: Row) -> str:
    if not row["value"]:
        return MISSING
    digits = 2 if row["metric"] == "auc" else 1
    value, low, high = (
        f"{float(row[part]):.{digits}f}" if row[part] else "" for part in ("value", "low", "high")
    )
    return value + (f" <sub>{low} to {high}</sub>" if low and high else "")
