"""Table III to read (Markdown) and to paste into a paper (LaTeX): person and event side by side.

As in the paper, the best of the five unlearning methods is bold and the second best underlined, by the value
as displayed; Finetune and Goal are the bounds and take no part. A dash is a missing value; its reason
follows.
"""

from __future__ import annotations

from mmunlearn.reporting.layout import (
    METRICS,
    MISSING,
    TARGETS,
    TITLES,
    UNITS,
    Block,
    Table,
    blocks,
    display,
    podium,
)

CELLS = [(target, metric) for target in TARGETS for metric in METRICS]
CAPTION = (
    "Higher is better. Finetune is the lower bound for unlearning and Goal the upper. "
    "Best of the unlearning methods in bold, second best underlined."
)


def markdown(rows: Table) -> str:
    """Table III as Markdown, one table a (model, percent)."""
    parts = ["# Table III", CAPTION]
    for (model, percent), block in blocks(rows).items():
        heads = [f"{target.title()}: {TITLES[metric]}<br>{UNITS[target][metric]}" for target, metric in CELLS]
        lines = [["Method", *heads], [":--", *("--:" for _ in CELLS)]]
        lines += [[method, *_marked(block, method, "**{}**", "<u>{}</u>")] for method in block]
        parts.append(f"## {model} ({percent}% forget)")
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
        parts += _notes(block)
    return "\n\n".join(parts) + "\n"


def latex(rows: Table) -> str:
    r"""Table III as a LaTeX `table*`. Needs `\usepackage{booktabs}`."""
    units = " & ".join(UNITS[target][metric] for target, metric in CELLS)
    titles = " & ".join(TITLES[metric] for _, metric in CELLS)
    lines = [
        r"% Needs \usepackage{booktabs}.",
        r"\begin{table*}[t]",
        r"\centering",
        rf"\caption{{{CAPTION}}}",
        r"\label{tab:pebench}",
        r"\small",
        rf"\begin{{tabular}}{{l{'r' * len(CELLS)}}}",
        r"\toprule",
        r"& \multicolumn{6}{c}{Person unlearning} & \multicolumn{6}{c}{Event unlearning} \\",
        r"\cmidrule(lr){2-7} \cmidrule(lr){8-13}",
        rf"Method & {titles} \\",
        rf"& {units} \\",
    ]
    for (model, percent), block in blocks(rows).items():
        title = rf"\multicolumn{{13}}{{c}}{{{_escape(model)} ({percent}\% forget)}} \\"
        lines += [r"\midrule", title, r"\midrule"]
        for method in block:
            cells = _marked(block, method, r"\textbf{{{}}}", r"\underline{{{}}}")
            line = " & ".join([_escape(method), *cells])
            lines.append(line.replace(" ± ", r" $\pm$ ").replace(MISSING, "--") + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table*}"]) + "\n"


def _marked(block: Block, method: str, best: str, second: str) -> list[str]:
    """The twelve cells of a method, the winners within the given patterns."""
    patterns = {"best": best, "second": second, "": "{}"}
    cells = []
    for target, metric in CELLS:
        place = podium(block, target, metric).get(method, "")
        cells.append(patterns[place].format(display(block[method].get(target), metric)))
    return cells


def _notes(block: Block) -> list[str]:
    rows = [row for of_target in block.values() for row in of_target.values()]
    judges = ", ".join(sorted({row["judge"] for row in rows}))
    seeds = sorted({row["seed_list"] for row in rows})
    note = f"Seeds: {' / '.join(seeds)}. Judge: {judges}. ± is the standard deviation over seeds."
    reasons = [f"- {row['method']}, {row['target']}: {row['reason']}" for row in rows if row["reason"]]
    return [note, *(["Missing values:\n\n" + "\n".join(reasons)] if reasons else [])]


def _escape(text: str) -> str:
    for character in "&%$#_{}":
        text = text.replace(character, f"\\{character}")
    return text
