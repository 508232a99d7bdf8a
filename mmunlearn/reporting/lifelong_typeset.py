"""The matrix to read (Markdown) and to paste into a paper (LaTeX), in the layout of MLUBench's Table 2.

The best of the methods is bold, as in the paper, with all that are printed like it. More columns than fit are set in
several tables, a task's side by side.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import groupby

from mmunlearn import escape
from mmunlearn.evaluation.judge.limits import BLIND
from mmunlearn.reporting.layout import MISSING, Row, Table, judges_of, number, select, training_seeds, values
from mmunlearn.reporting.lifelong_cells import Column
from mmunlearn.reporting.lifelong_curves import variant_of
from mmunlearn.reporting.lifelong_differences import DIGITS
from mmunlearn.reporting.lifelong_missing import missing_note
from mmunlearn.reporting.lifelong_published import LUMOE
from mmunlearn.reporting.typeset import grid

LOCAL = "local"  # the embedded judge, as `judge_name` spells it
WIDTH = 12  # columns side by side
TITLES = {"forget": "Forget", "utility": "Utility", "knows": "Knows", "degenerate": "Degenerate"}
WIDTHS = (
    "Widths of intervals do not compare: where all entities agree the bounds are exact and wide (0.00 to 0.37 on "
    "eight), where they nearly agree the bootstrap is narrow."
)
KEPT = "LUMoE forgets nothing: the base still knows (lifelong_undo.csv)."
CAPTION = (
    "X-UY is task X after unlearning task Y, in [0, 1]. Forget quality is the rejection rating of forget answers, "
    "utility the correctness rating of retain answers, both halved; higher is better. Knows: share of forget answers "
    "with all key words of the reference; degenerate: share of answers that are not sensible language. A forget of 0 "
    "is an answer that is still right where knows is high, and a collapsed model where degenerate is. The best method "
    "is bold; no method is where all have the same value; what differs from it beyond a 95% interval over entities "
    f"stands in mlubench_differences.csv. {WIDTHS}"
)
Panel = list[Column]


def panels(columns: Sequence[Column], width: int = WIDTH) -> list[Panel]:
    """The columns of tables of at most `width`, a task's together where they fit."""
    found: list[Panel] = [[]]
    for _, group in groupby(columns, lambda column: column.task):
        of_task = list(group)
        for start in range(0, len(of_task), width):
            piece = of_task[start : start + width]
            if len(found[-1]) + len(piece) > width:
                found.append([])
            found[-1] += piece
    return found


def display(row: Row, column: Column) -> str:
    """A cell with three decimals, as printed in the paper, `± std` over seeds; a dash where it is missing."""
    if not row[column.name]:
        return MISSING
    std = row[f"{column.name}_std"]
    return number(float(row[column.name]), DIGITS) + (f" ± {number(float(std), DIGITS)}" if std else "")


def markdown(
    rows: Table, columns: Sequence[Column], references: Collection[str], notes: dict[str, list[str]]
) -> str:
    """The table as Markdown; `notes` are paragraphs by model, below its table, and by "" at the end."""
    parts = ["# MLUBench, Tables 2 and 23", *_head(rows, references, escape.markdown)]
    for model in values(rows, "model"):
        of_model = select(rows, model=model)
        parts.append(f"## {escape.markdown(model)}")
        for panel in panels(columns):
            heads = [f"{column.task}-related<br>{column.name}" for column in panel]
            lines = [
                [
                    _method(of_model, at, escape.markdown),
                    TITLES[row["metric"]],
                    *_marked(row, panel, "**{}**"),
                ]
                for at, row in enumerate(of_model)
            ]
            parts.append(grid(["Method", "Metric", *heads], lines))
        parts += [counts(of_model, columns, escape.markdown), *notes.get(model, []), *_reasons(of_model)]
    return "\n\n".join([*parts, *notes.get("", [])]) + "\n"


def latex(rows: Table, columns: Sequence[Column], references: Collection[str]) -> str:
    r"""The table as LaTeX `table*`s. Needs `\usepackage{booktabs}`."""
    text = " ".join(_head(rows, references, str))
    text += "".join(
        f" {model}: {counts(select(rows, model=model), columns, str)}" for model in values(rows, "model")
    )
    parts = [r"% Needs \usepackage{booktabs}."]
    for at, panel in enumerate(panels(columns)):
        label = "tab:mlubench" + (f"-{at + 1}" if at else "")
        parts += [_latex_panel(rows, panel, text if not at else "Continued.", label)]
    return "\n".join(parts) + "\n"


def _latex_panel(rows: Table, panel: Panel, caption: str, label: str) -> str:
    groups = [(task, len(list(group))) for task, group in groupby(panel, lambda column: column.task)]
    heads = " & ".join(rf"\multicolumn{{{size}}}{{c}}{{{task}-related}}" for task, size in groups)
    lines = [
        r"\begin{table*}[t]",
        r"\centering",
        rf"\caption{{{_latex_text(caption)}}}",
        rf"\label{{{label}}}",
        r"\small",
        rf"\begin{{tabular}}{{ll{'r' * len(panel)}}}",
        r"\toprule",
        rf"& & {heads} \\",
        rf"Method & Metric & {' & '.join(column.name for column in panel)} \\",
    ]
    for model in values(rows, "model"):
        of_model = select(rows, model=model)
        title = rf"\multicolumn{{{len(panel) + 2}}}{{c}}{{\textit{{{escape.latex(model)}}}}} \\"
        lines += [r"\midrule", title, r"\midrule"]
        for at, row in enumerate(of_model):
            cells = [
                _method(of_model, at, escape.latex),
                TITLES[row["metric"]],
                *_marked(row, panel, r"\textbf{{{}}}"),
            ]
            lines.append(" & ".join(cells).replace(" ± ", r" $\pm$ ").replace(MISSING, "--") + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table*}"])


def counts(rows: Table, columns: Sequence[Column], escaped) -> str:
    """Seeds, judges, how many answers a cell has, and what was left out."""
    asked = [
        f"{TITLES[metric].lower()} "
        + ", ".join(f"{task} {_most(rows, metric, task, columns, 'n')}" for task in _tasks(columns))
        for metric in ("forget", "utility")
    ]
    left_out = sum(
        _most(rows, metric, task, columns, "left_out")
        for metric in ("forget", "utility")
        for task in _tasks(columns)
    )
    missing = sum(int(row[f"{column.name}_missing"]) for row in rows for column in columns)
    text = f"{training_seeds(rows)}. Judge: {escaped(', '.join(judges_of(rows)))}. "
    text += "± is the standard deviation over seeds. " if any(row["seeds"] != "1" for row in rows) else ""
    text += f"Answers a cell, over seeds: {'; '.join(asked)}. "
    text += f"Left out, as the model could not answer them before: {left_out} test questions. "
    text += f"{note} " if (note := missing_note(rows)) else ""
    text += f"Ratings missing: {missing}." if missing else "No rating is missing."
    return text + (f" {escaped(BLIND)}" if LOCAL in judges_of(rows) else "")


def _most(rows: Table, metric: str, task: str, columns: Sequence[Column], part: str) -> int:
    names = [f"{column.name}_{part}" for column in columns if column.task == task]
    return max((int(row[name] or 0) for row in select(rows, metric=metric) for name in names), default=0)


def _tasks(columns: Sequence[Column]) -> list[str]:
    return list(dict.fromkeys(column.task for column in columns))


def _head(rows: Table, references: Collection[str], escaped) -> list[str]:
    """How the table is read, and which rows are no methods."""
    kept = [KEPT] if any(variant_of(method) == LUMOE for method in values(rows, "method")) else []
    names = "; ".join(map(escaped, references))
    return [CAPTION, *kept, *([f"No methods, and never bold: {names}."] if references else [])]


def _method(rows: Table, at: int, escaped) -> str:
    """A method's name in its first row, else nothing."""
    first = at == 0 or rows[at - 1]["method"] != rows[at]["method"]
    return escaped(rows[at]["method"]) if first else ""


def _marked(row: Row, panel: Panel, bold: str) -> list[str]:
    cells = [(display(row, column), row.get(f"{column.name}_place")) for column in panel]
    return [bold.format(text) if place == "best" else text for text, place in cells]


def _latex_text(text: str) -> str:
    return escape.latex(text).replace("±", r"$\pm$").replace("−", "$-$")


def _reasons(rows: Table) -> list[str]:
    lines = [
        f"- {escape.markdown(row['method'])}, {row['metric']}: {escape.markdown(row['reason'])}"
        for row in rows
        if row["reason"]
    ]
    return ["Missing values:\n\n" + "\n".join(lines)] if lines else []
