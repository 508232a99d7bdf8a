"""Tables III and IV: scores of recipes and seeds in the paper's layout, and beside the published numbers.

Columns of `table3.csv` and `table3_ceiling.csv`, after `model, forget_percent, method, target` and the six
metrics (0 to 100, higher is better, mean over seeds):

- `<metric>_std`: sample standard deviation over seeds; empty with one seed;
- `<metric>_low`, `<metric>_high`: 95% interval over clusters. With one seed it is that of the scores; with several
  it is the mean of the lower and the mean of the upper ends, hence the width at one seed, not the (narrower)
  interval of the mean;
- `<metric>_n`, `<metric>_missing`: questions behind the number and answers without a verdict, summed over
  seeds; `<metric>_clusters`: the people, events, figures or pictures that they are on, the same for all seeds;
- `<metric>_place`: `best` or `second` of the unlearning methods; those that are tied share a place, see
  `mmunlearn.reporting.differences`;
- `world_fact_doubtful`: yes/no replies that may not mean what POPE's official reading takes them for, over seeds;
- `real_vs_finetuned`: for events, ROUGE-L against the finetuned model's answers instead of the ground truth;
- `seeds`, `seed_list`: how many and which; `judge`; `digest`: of all inputs of the row's scores;
- `reason`: `metric: why` for each empty cell, and for each number that rests on fewer seeds than the row.

The printed tables (Markdown, LaTeX) set the ceiling's rows below Goal; the CSV files of the tables do not hold them.

`table4.csv` and `table4_ceiling.csv` have the same columns but `scope`, which the paper leaves out there, and
`forget_percent` (of people and of events each) after the metrics.

Numbers have all their digits: they are rounded where they are printed, once. Equal scores give equal bytes, in whatever
order the files are named.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from statistics import fmean, stdev

from mmunlearn.evaluation.score_inputs import read_scores
from mmunlearn.ids import TARGETS
from mmunlearn.records import Attack, Metric, Scores, digest_of, write_text
from mmunlearn.reporting.differences import COLUMNS as DIFFERENCE_COLUMNS
from mmunlearn.reporting.differences import Standing, difference_rows
from mmunlearn.reporting.layout import (
    FORMS,
    TABLE3,
    Form,
    Row,
    Table,
    blocks,
    full,
    join_reasons,
    method_order,
    read_table,
    with_seeds,
    write_table,
)
from mmunlearn.reporting.published import RANK_COLUMNS, VERSUS_COLUMNS, rank_rows, versus_rows
from mmunlearn.reporting.typeset import latex, markdown

EXTRA = "real_vs_finetuned"
DOUBTFUL = "world_fact_doubtful"
PARTS = ("std", "low", "high", "n", "missing", "clusters", "place")


def columns(form: Form) -> tuple[str, ...]:
    """The columns of a table's CSV file."""
    parts = (f"{metric}_{part}" for metric in form.metrics for part in PARTS)
    percent = () if "forget_percent" in form.keys else ("forget_percent",)
    return (
        *form.keys, *form.metrics, *percent, *parts, DOUBTFUL, EXTRA, "seeds", "seed_list", "judge", "digest", "reason"
    )  # fmt: skip


class TableError(ValueError):
    """The scores do not make a table."""


def make_table(
    *,
    scores: Sequence[Path],
    published: Path,
    csv: Path,
    md: Path,
    tex: Path,
    ceiling: Path,
    versus: Path,
    ranks: Path,
    differences: Path,
    table: str,
    ceiling_seed: int | None,
    bootstrap: int,
) -> None:
    """Write a table of scores, its ceiling, its differences and the comparison with the published numbers.

    Args:
        scores: Scores files, one a (model, recipe, seed, target, percent), in any order. Table IV's are those of
            recipes of target `both`, of finetuned and of goal.
        published: the paper's table, with the same first columns.
        csv, md, tex: the table as data, to read, and to paste into a paper.
        ceiling: the same columns for `ceiling_seed` alone: what a goal model of another seed reaches before the same
            judge, the honest upper bound. These scores are not in the table.
        versus, ranks: long format, see `mmunlearn.reporting.published`.
        differences: of all pairs of methods, see `mmunlearn.reporting.differences`.
        table: `table3`, or `table4`: person and event unlearned together.
        ceiling_seed: the seed whose scores are the ceiling; None for no ceiling, hence an empty table.
        bootstrap: resamples of the intervals of differences.

    Raises:
        RecordError: a file is not a Scores file.
        TableError: two files hold the same cell, or nothing is left beside the ceiling.
    """
    form = FORMS[table]
    records = [read_scores(path) for path in scores]
    ours = [one for one in records if one.seed != ceiling_seed]
    rows = table_rows(ours, form)
    if not rows:
        raise TableError(
            f"Asked for {form.title} of {len(scores)} score files. Found none of a seed other than the ceiling's "
            f"({ceiling_seed}). Name a model in models and a percent in dataset (percents, or both_percents for "
            "Table IV), or change the ceiling seed."
        )
    ceiling_rows = table_rows([one for one in records if one.seed == ceiling_seed], form)
    pairs = difference_rows(ours, form, bootstrap)
    standing = Standing(pairs)
    rows = with_places(rows, standing, form)
    places = blocks(rows)
    printed = rows + [
        row | {"method": with_seeds(row)}
        for row in ceiling_rows
        if (row["model"], row["forget_percent"]) in places
    ]
    write_table(csv, columns(form), rows)
    write_table(ceiling, columns(form), ceiling_rows)
    write_text(md, markdown(printed, form))
    write_text(tex, latex(printed, form))
    write_table(differences, DIFFERENCE_COLUMNS, pairs)
    paper = read_table(published)
    comparison = versus_rows(rows, paper, standing, form)
    write_table(versus, VERSUS_COLUMNS, comparison)
    write_table(ranks, RANK_COLUMNS, rank_rows(comparison, paper, form))


def table_rows(scores: Sequence[Scores], form: Form = TABLE3) -> Table:
    """One row a (model, percent, method, target), in the paper's order, pooled over seeds."""
    return [_row(list(group), form) for _, group in groupby(sorted(scores, key=row_order), key=_place)]


def with_places(rows: Table, standing: Standing, form: Form) -> Table:
    """The rows with the places of their methods in each column."""
    places: dict[tuple[str, ...], str] = {}
    for (model, percent), block in blocks(rows).items():
        for target, metric in form.cells:
            values = {
                method: float(row[target][metric])
                for method, row in block.items()
                if target in row and row[target][metric]
            }
            podium = standing.podium((model, percent, target, metric), values)
            places |= {(model, percent, target, metric, method): name for method, name in podium.items()}
    keys = ("model", "forget_percent", "target")
    return [
        row
        | {
            f"{metric}_place": places.get((*(row[key] for key in keys), metric, row["method"]), "")
            for metric in form.metrics
        }
        for row in rows
    ]


def row_order(one: Scores | Attack) -> tuple:
    """Sort key: by model, percent, method in the paper's order, target and seed."""
    return *_place(one), one.seed


def _place(one: Scores | Attack) -> tuple:
    return one.model, one.percent, method_order(one.method), TARGETS.index(one.target)


def pooled_seeds(group: Sequence[Scores | Attack], what: str) -> Row:
    """The cells that every row of a table has, of one model, percent, method and target; sorted by seed.

    Raises:
        TableError: a seed comes twice.
    """
    seeds, first = [one.seed for one in group], group[0]
    if len(set(seeds)) < len(seeds):
        recipes = ", ".join(sorted({one.recipe for one in group}))
        raise TableError(
            f"Asked for one {what} a seed of {first.method}, {first.target}, {first.percent}% of {first.model}. Found "
            f"seeds {seeds} in recipes {recipes}. Pass each file once, and give each method a label of its own."
        )
    return {
        "model": first.model,
        "forget_percent": str(first.percent),
        "method": first.method,
        "target": first.target,
        "seeds": str(len(seeds)),
        "seed_list": " ".join(map(str, seeds)),
        "digest": digest_of([one.digests for one in group]),
    }


def pooled(cells: Sequence[Metric]) -> Row:
    """Over seeds with a value: mean and deviation, mean ends of the interval, the sum of questions, the clusters."""
    parts = {
        part: [value for cell in cells if (value := getattr(cell, part)) is not None]
        for part in ("value", "low", "high")
    }
    means = {part: full(fmean(numbers)) if numbers else "" for part, numbers in parts.items()}
    std = full(stdev(parts["value"])) if len(cells) > 1 else ""
    n, clusters = sum(cell.n for cell in cells), max((cell.clusters for cell in cells), default=0)
    return {**means, "std": std, "n": str(n), "clusters": str(clusters)}


def _row(group: list[Scores], form: Form) -> Row:
    extra = (EXTRA,) if any(EXTRA in one.metrics for one in group) else ()
    reasons = {metric: _reason(metric, group) for metric in (*form.metrics, *extra)}
    row = pooled_seeds(group, f"score of {form.title}")
    for metric in form.metrics:
        row |= _cells(metric, group)
    doubtful = sum(one.metrics["world_fact"].doubtful for one in group if "world_fact" in one.metrics)
    return row | {
        DOUBTFUL: str(doubtful),
        **{metric: _cells(metric, group)[metric] for metric in extra},
        "judge": ", ".join(sorted({one.judge for one in group})),
        "reason": join_reasons({metric: text for metric, text in reasons.items() if text}),
    }


def _cells(metric: str, group: list[Scores]) -> Row:
    parts = pooled([one.metrics[metric] for one in group if not _why_missing(metric, one)])
    missing = sum(one.metrics[metric].missing for one in group if metric in one.metrics)
    named = {f"{metric}_{part}": text for part, text in (parts | {"missing": str(missing)}).items()}
    return {metric: named.pop(f"{metric}_value"), **named}


def _why_missing(metric: str, one: Scores) -> str:
    """Why a score has no value for `metric`; empty where it has one."""
    if metric not in one.metrics:
        return "not scored"
    cell = one.metrics[metric]
    if cell.value is None:
        return cell.reason or "no value and no reason in the scores"
    return "" if math.isfinite(cell.value) else f"not a finite number ({cell.value})"


def _reason(metric: str, group: list[Scores]) -> str:
    """The reason of all seeds where they agree, otherwise of each seed that lacks a value."""
    reasons = {one.seed: _why_missing(metric, one) for one in group}
    if len(set(reasons.values())) == 1:
        return reasons[group[0].seed]
    return ", ".join(f"seed {seed} left out ({text})" for seed, text in reasons.items() if text)
