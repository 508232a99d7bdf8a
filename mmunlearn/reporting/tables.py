"""Tables III and IV: scores of recipes and seeds in the paper's layout, and beside the published numbers.

Columns of `table3.csv` and `table3_ceiling.csv`, after `model, forget_percent, method, target` and the six
metrics (0 to 100, higher is better, mean over seeds):

- `<metric>_std`: sample standard deviation over seeds; empty with one seed;
- `<metric>_low`, `<metric>_high`: 95% bootstrap interval over questions. With one seed it is that of the
  scores; with several it is the mean of the lower and the mean of the upper ends, hence the width at one
  seed, not the (narrower) interval of the mean;
- `<metric>_n`, `<metric>_missing`: questions behind the number and answers without a verdict, summed over
  seeds;
- `real_vs_finetuned`: for events, ROUGE-L against the finetuned model's answers instead of the ground truth;
- `seeds`, `seed_list`: how many and which; `judge`; `digest`: of all inputs of the row's scores;
- `reason`: `metric: why` for each empty cell, and for each number that rests on fewer seeds than the row.

The printed tables (Markdown, LaTeX) set the ceiling's rows below Goal; the CSV files of the tables do not hold them.

`table4.csv` and `table4_ceiling.csv` have the same columns but `scope`, which the paper leaves out there, and
`forget_percent` (of people and of events each) after the metrics.

Every number has two decimals. Equal scores give equal bytes, in whatever order the files are named.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from statistics import fmean, stdev

from mmunlearn.records import Metric, Scores, digest_of, read_json, write_text
from mmunlearn.reporting.layout import (
    TABLE3,
    TABLE4,
    TARGETS,
    Form,
    Row,
    Table,
    join_reasons,
    method_order,
    number,
    read_table,
    with_ceiling,
    write_table,
)
from mmunlearn.reporting.published import VERSUS_COLUMNS, versus_rows
from mmunlearn.reporting.typeset import latex, markdown

EXTRA = "real_vs_finetuned"


def columns(form: Form) -> tuple[str, ...]:
    """The columns of a table's CSV file."""
    named = (*form.keys, *form.metrics)
    parts = (f"{metric}_{part}" for metric in form.metrics for part in ("std", "low", "high", "n", "missing"))
    percent = () if "forget_percent" in form.keys else ("forget_percent",)
    return (*named, *percent, *parts, EXTRA, "seeds", "seed_list", "judge", "digest", "reason")


COLUMNS = columns(TABLE3)


class TableError(ValueError):
    """The scores do not make a table."""


def make_table3(
    scores: list[Path],
    out_csv: Path,
    out_md: Path,
    out_tex: Path,
    out_ceiling: Path,
    out_versus: Path,
    published: Path,
    ceiling_seed: int | None,
) -> None:
    """Write Table III, its ceiling and the comparison with the published numbers.

    Args:
        scores: Scores files, one a (model, recipe, seed, target, percent), in any order.
        out_csv, out_md, out_tex: Table III as data, to read, and to paste into a paper.
        out_ceiling: the same columns for `ceiling_seed` alone: what a goal model of another seed reaches
            before the same judge, the honest upper bound. These scores are not in Table III.
        out_versus: long format, see `mmunlearn.reporting.published`.
        published: the paper's Table III, with the same first ten columns.
        ceiling_seed: the seed whose scores are the ceiling; None for no ceiling, hence an empty table.

    Raises:
        RecordError: a file is not a Scores file.
        TableError: two files hold the same cell, or nothing is left beside the ceiling.
    """
    rows, ceiling = _rows_and_ceiling(scores, TABLE3, ceiling_seed)
    if not rows:
        raise TableError(
            f"Asked for Table III of {len(scores)} score files. Found none of a seed other than "
            f"the ceiling's ({ceiling_seed}). Score a model of another seed, or change the ceiling seed."
        )
    _write(rows, ceiling, TABLE3, out_csv, out_md, out_tex, out_ceiling, out_versus, published)


def make_table4(
    scores: list[Path],
    out_csv: Path,
    out_md: Path,
    out_tex: Path,
    out_ceiling: Path,
    out_versus: Path,
    published: Path,
    ceiling_seed: int | None,
) -> None:
    """Write Table IV, person and event unlearned together, and the comparison with the published numbers.

    Args:
        scores: Scores files of the recipes of target `both`, of finetuned and of goal, each scored for person and
            for event, in any order.
        out_csv, out_md, out_tex: Table IV as data, to read, and to paste into a paper.
        out_ceiling, ceiling_seed: as in `make_table3`.
        out_versus: long format, see `mmunlearn.reporting.published`.
        published: the paper's Table IV, with the same first eight columns.

    Raises:
        RecordError: a file is not a Scores file.
        TableError: two files hold the same cell, or there is none.
    """
    rows, ceiling = _rows_and_ceiling(scores, TABLE4, ceiling_seed)
    if not rows:
        raise TableError(
            "Asked for Table IV. Found no scores. Name a percent in dataset.both_percents and a model in models."
        )
    _write(rows, ceiling, TABLE4, out_csv, out_md, out_tex, out_ceiling, out_versus, published)


def _rows_and_ceiling(scores: list[Path], form: Form, ceiling_seed: int | None) -> tuple[Table, Table]:
    """The rows of a table, and those of the ceiling's seed."""
    everything = [read_json(path, Scores) for path in scores]
    at_ceiling = [one for one in everything if one.seed == ceiling_seed]
    return table_rows([one for one in everything if one.seed != ceiling_seed], form), table_rows(
        at_ceiling, form
    )


def _write(
    rows: Table,
    ceiling: Table,
    form: Form,
    csv: Path,
    md: Path,
    tex: Path,
    out_ceiling: Path,
    versus: Path,
    published: Path,
) -> None:
    write_table(csv, columns(form), rows)
    write_table(out_ceiling, columns(form), ceiling)
    shown = with_ceiling(rows, ceiling)
    write_text(md, markdown(shown, form))
    write_text(tex, latex(shown, form))
    write_table(versus, VERSUS_COLUMNS, versus_rows(rows, read_table(published), form))


def table_rows(scores: list[Scores], form: Form = TABLE3) -> Table:
    """One row a (model, percent, method, target), in the paper's order, pooled over seeds."""
    ordered = sorted(scores, key=lambda one: (*_row_key(one), one.seed))
    return [_row(list(group), form) for _, group in groupby(ordered, key=_row_key)]


def _row_key(one: Scores) -> tuple:
    return one.model, one.percent, method_order(one.method), TARGETS.index(one.target)


def _row(group: list[Scores], form: Form) -> Row:
    """Pool the seeds of one (model, percent, method, target); `group` is sorted by seed."""
    seeds = [one.seed for one in group]
    first = group[0]
    if len(set(seeds)) < len(seeds):
        recipes = ", ".join(sorted({one.recipe for one in group}))
        raise TableError(
            f"Asked for one score a seed of {first.method}, {first.target}, {first.percent}% of "
            f"{first.model}. Found seeds {seeds} in recipes {recipes}. Pass each file once, only "
            f"recipes of {form.title}, and give each method a label of its own."
        )
    cells: Row = {}
    reasons: dict[str, str] = {}
    for metric in form.metrics:
        cells |= _cells(metric, group)
        reasons[metric] = _reason(metric, group)
    if any(EXTRA in one.metrics for one in group):
        cells[EXTRA] = _mean(group, EXTRA, lambda metric: metric.value)
        reasons[EXTRA] = _reason(EXTRA, group)
    return cells | {
        "model": first.model,
        "forget_percent": str(first.percent),
        "method": first.method,
        "target": first.target,
        "seeds": str(len(seeds)),
        "seed_list": " ".join(map(str, seeds)),
        "judge": ", ".join(sorted({one.judge for one in group})),
        "digest": digest_of([one.digests for one in group]),
        "reason": join_reasons({metric: text for metric, text in reasons.items() if text}),
    }


def _cells(metric: str, group: list[Scores]) -> Row:
    present = _present(metric, group)
    return {
        metric: _mean(group, metric, lambda cell: cell.value),
        f"{metric}_std": number(stdev(cell.value for cell in present)) if len(present) > 1 else "",
        f"{metric}_low": _mean(group, metric, lambda cell: cell.low),
        f"{metric}_high": _mean(group, metric, lambda cell: cell.high),
        f"{metric}_n": str(sum(cell.n for cell in present)),
        f"{metric}_missing": str(sum(one.metrics[metric].missing for one in group if metric in one.metrics)),
    }


def _present(metric: str, group: list[Scores]) -> list[Metric]:
    """The metric of each seed that has a value for it."""
    return [one.metrics[metric] for one in group if not _why_missing(metric, one)]


def _mean(group: list[Scores], metric: str, part: Callable[[Metric], float | None]) -> str:
    values = [value for value in map(part, _present(metric, group)) if value is not None]
    return number(fmean(values)) if values else ""


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
