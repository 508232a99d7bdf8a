"""What attacks find, as a table: one row a (model, percent, method, target, attack, setting, metric).

Columns of `robustness.csv`:

- `attack`, `setting`, `metric`: relearning (`step <n>`: recovered), quantisation (`unrounded`, `<n> bit`: efficacy,
  retain), membership (`loss`, `zlib`, `min-k`, `min-k++`: auc), paraphrase (`original`, `paraphrased`,
  `worst wording`: efficacy, generality);
- `value`: mean over seeds, in [0, 100]; of `auc` in [0, 1]. High efficacy and generality: forgotten. High recovered:
  the truth is told again. High retain: the rest is still known. auc 0.5: nothing betrays the forgotten pictures;
- `n`, `clusters`: questions (pairs of pictures, for auc) over all seeds, and the people or events that they are on;
- `low`, `high`: the 95% interval over these, with several seeds the mean of their ends;
- `std`: sample standard deviation over seeds, empty with one; `seeds`, `seed_list`; `digest`: of all inputs;
- `reason`: why there is no value, or of which seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from mmunlearn import escape
from mmunlearn.ids import TARGETS
from mmunlearn.records import Attack, Finding, read_json, write_text
from mmunlearn.reporting.layout import MISSING, Row, Table, distinct, number, select, values, write_table
from mmunlearn.reporting.tables import TableError, pooled, pooled_seeds, row_order
from mmunlearn.reporting.typeset import grid

COLUMNS = (
    "model", "forget_percent", "method", "target", "attack", "setting", "metric", "value", "n", "low", "high", "std",
    "clusters", "seeds", "seed_list", "digest", "reason",
)  # fmt: skip
ATTACKS = {
    "relearning": "what is told of the other forget samples after finetuning on a few: near Goal is best",
    "quantisation": "efficacy on forget_train, and what is left of retain, with weights rounded: higher is better",
    "membership": "AUC of forget_train against unseen pictures of the same cells: 0.5 is best, Goal is the reference",
    "paraphrase": "efficacy (forget_train) and generality (forget_test) in other words: higher is better",
}
NOTED = ("method", "target", "attack", "setting", "metric")
METRICS = ("recovered", "efficacy", "generality", "retain", "auc")


def make_robustness(attacks: Sequence[Path], csv: Path, md: Path) -> None:
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
    write_table(csv, COLUMNS, rows)
    write_text(md, markdown(rows))


def robustness_rows(attacks: Sequence[Attack]) -> Table:
    """Rows by model, percent, method, target and attack, settings in the order in which they were tried."""
    ordered = sorted(attacks, key=lambda one: (*_key(one), one.seed))
    return [row for _, group in groupby(ordered, key=_key) for row in _rows(list(group))]


def _key(one: Attack) -> tuple:
    *place, _ = row_order(one)
    return *place, list(ATTACKS).index(one.attack)


def _rows(group: Sequence[Attack]) -> Table:
    """The rows of one attack on one model, pooled over seeds."""
    common = pooled_seeds(group, group[0].attack) | {"attack": group[0].attack}
    by_seed = {
        attack.seed: {(finding.setting, finding.metric): finding for finding in attack.findings}
        for attack in group
    }
    keys = dict.fromkeys(key for findings in by_seed.values() for key in findings)
    return [
        common
        | {"setting": setting, "metric": metric}
        | _cells({seed: findings.get((setting, metric)) for seed, findings in by_seed.items()})
        for setting, metric in keys
    ]


def _cells(findings: dict[int, Finding | None]) -> Row:
    """The value over seeds, and why some of them have none."""
    present = [one for one in findings.values() if one and one.result.value is not None]
    reasons = {
        seed: (one.result.reason or "no value and no reason given") if one else "not measured"
        for seed, one in findings.items()
        if one is None or one.result.value is None
    }
    texts = [f"seed {seed}: {why}" if len(findings) > 1 else why for seed, why in reasons.items()]
    return pooled([one.result for one in present]) | {"reason": "; ".join(texts)}


def markdown(rows: Table) -> str:
    """A part a model, an attack and a target: methods by settings, intervals in small print."""
    parts = ["# Robustness"]
    for model, percent in distinct(rows, "model", "forget_percent"):
        of_model = select(rows, model=model, forget_percent=percent)
        parts.append(f"## {escape.markdown(model)} ({percent}% forget)")
        for attack, meaning in ATTACKS.items():
            if of_attack := select(of_model, attack=attack):
                parts.append(f"### {attack.title()}: {meaning}")
                parts += [_grid(select(of_attack, target=target), target) for target in TARGETS]
        missing = [
            "- " + escape.markdown(", ".join(row[name] for name in NOTED) + f": {row['reason']}")
            for row in of_model
            if row["reason"]
        ]
        parts += ["Missing values:\n\n" + "\n".join(missing)] if missing else []
    return "\n\n".join(filter(None, parts)) + "\n"


def _grid(rows: Table, target: str) -> str:
    if not rows:
        return ""
    heads = distinct(sorted(rows, key=lambda row: METRICS.index(row["metric"])), "metric", "setting")
    cells = {(row["method"], row["metric"], row["setting"]): _display(row) for row in rows}
    return grid(
        [target.title(), *(f"{metric}<br>{escape.markdown(setting)}" for metric, setting in heads)],
        [
            [escape.markdown(name), *(cells.get((name, *head), MISSING) for head in heads)]
            for name in values(rows, "method")
        ],
    )


def _display(row: Row) -> str:
    if not row["value"]:
        return MISSING
    digits = 2 if row["metric"] == "auc" else 1
    value, low, high = (
        number(float(row[part]), digits) if row[part] else "" for part in ("value", "low", "high")
    )
    return value + (f" <sub>{low} to {high}</sub>" if low and high else "")
