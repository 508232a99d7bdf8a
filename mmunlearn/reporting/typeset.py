"""Tables III and IV to read (Markdown) and to paste into a paper (LaTeX): person and event side by side.

As in the paper, the best of the unlearning methods is bold and the second best underlined; those that do not differ
beyond the 95% interval of their difference share a place, and a column in which nobody does has none. Finetune and Goal
are the bounds and take no part. In Table IV, a variant's cell also holds its gain over
the base method. A dash is a missing value; its reason follows.
"""

from __future__ import annotations

from mmunlearn import escape
from mmunlearn.reporting.layout import (
    MISSING,
    TABLE3,
    TITLES,
    UNITS,
    Block,
    Form,
    Row,
    Table,
    blocks,
    display,
    gain,
    place_of,
    without_ceiling,
)

CAPTION = (
    "Higher is better. Finetune is the lower bound for unlearning and Goal the upper. "
    "Best of the unlearning methods in bold, second best underlined; those whose paired difference has a 95% interval "
    "around 0 share a place, and a column in which all do has none."
)
CEILING = " Goal, seed N: a goal model of another seed before the same judge, what can really be reached."
GAINS = " Person and event are unlearned together; + (or −) is the gain over the base method."
MARKDOWN = {"best": "**{}**", "second": "<u>{}</u>", "": "{}", "gain": " <sub>{}</sub>"}
LATEX = {"best": r"\textbf{{{}}}", "second": r"\underline{{{}}}", "": "{}", "gain": "$_{{{}}}$"}


def markdown(rows: Table, form: Form = TABLE3) -> str:
    """A table as Markdown, one part a (model, percent)."""
    parts = [f"# {form.title}", caption(rows, form)]
    for (model, percent), block in blocks(rows).items():
        heads = [f"{target.title()}: {TITLES[name]}<br>{UNITS[target][name]}" for target, name in form.cells]
        lines = [[escape.markdown(method), *_marked(block, method, form, MARKDOWN)] for method in block]
        parts += [f"## {escape.markdown(model)} ({percent}% forget)", grid(["Method", *heads], lines)]
        parts += _notes(block)
    return "\n\n".join(parts) + "\n"


def grid(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table: names at the left, numbers at the right; text of others is escaped before."""
    lines = [head, [":--", *("--:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def latex(rows: Table, form: Form = TABLE3) -> str:
    r"""A table as a LaTeX `table*`. Needs `\usepackage{booktabs}`."""
    cells, width = form.cells, len(form.metrics)
    lines = [
        r"% Needs \usepackage{booktabs}.",
        r"\begin{table*}[t]",
        r"\centering",
        rf"\caption{{{escape.latex(caption(rows, form)).replace('−', '$-$')}}}",
        rf"\label{{{form.label}}}",
        r"\small",
        rf"\begin{{tabular}}{{l{'r' * len(cells)}}}",
        r"\toprule",
        rf"& \multicolumn{{{width}}}{{c}}{{Person unlearning}} & \multicolumn{{{width}}}{{c}}{{Event unlearning}} \\",
        rf"\cmidrule(lr){{2-{width + 1}}} \cmidrule(lr){{{width + 2}-{2 * width + 1}}}",
        rf"Method & {' & '.join(TITLES[metric] for _, metric in cells)} \\",
        rf"& {' & '.join(UNITS[target][metric] for target, metric in cells)} \\",
    ]
    for (model, percent), block in blocks(rows).items():
        title = rf"\multicolumn{{{len(cells) + 1}}}{{c}}{{{escape.latex(model)} ({percent}\% forget)}} \\"
        lines += [r"\midrule", title, r"\midrule"]
        for method in block:
            line = " & ".join([escape.latex(method), *_marked(block, method, form, LATEX)])
            lines.append(line.replace(" ± ", r" $\pm$ ").replace(MISSING, "--").replace("−", "-") + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table*}"]) + "\n"


def caption(rows: Table, form: Form = TABLE3) -> str:
    """What a reader must know of the numbers."""
    ceiling = [row for row in rows if _is_ceiling(row)]
    goals = f"{CEILING}{without_ceiling(ceiling, rows)}" if ceiling else ""
    return CAPTION + goals + (GAINS if form.gains else "")


def _is_ceiling(row: Row) -> bool:
    return row["method"].startswith("Goal, ")


def _marked(block: Block, method: str, form: Form, patterns: dict[str, str]) -> list[str]:
    """The cells of a method, the winners and the gains within the patterns."""
    cells = []
    for target, metric in form.cells:
        row = block[method].get(target)
        more = gain(block, method, target, metric) if form.gains else ""
        cell = patterns[place_of(row, metric)].format(display(row, metric))
        cells.append(cell + (patterns["gain"].format(more) if more else ""))
    return cells


def _notes(block: Block) -> list[str]:
    rows = [row for of_target in block.values() for row in of_target.values()]
    judges = escape.markdown(", ".join(sorted({row["judge"] for row in rows})))
    seeds = sorted({row["seed_list"] for row in rows if not _is_ceiling(row)})
    note = f"Seeds: {' / '.join(seeds)}. Judge: {judges}. ± is the standard deviation over seeds."
    reasons = [
        f"- {escape.markdown(row['method'])}, {row['target']}: {escape.markdown(row['reason'])}"
        for row in rows
        if row["reason"]
    ]
    return [note, *(["Missing values:\n\n" + "\n".join(reasons)] if reasons else [])]
