"""What the numbers of the matrix do not say, beside them."""

from __future__ import annotations

from mmunlearn.evaluation.intervals import FEW
from mmunlearn.reporting.differences import Standing
from mmunlearn.reporting.layout import Table, select
from mmunlearn.reporting.lifelong_published import methods_ranked

PAIRS = (("GD", "KL"), ("GA", "NPO"))
"""Methods so alike that no ranking between them held from seed to seed when the settings were chosen."""
NOISE = (
    "Rank correlations with the published tables (mlubench_ranks.csv) rest on few methods ({}): noise.",
    "An interval is over entities, of the seeds that were trained. Other seeds, tasks and settings move cells by more.",
    "On fewer than six entities (`clusters` in mlubench.csv) no difference shows at 5%, however large it is: a method "
    "that is not the best there is `undecidable` in mlubench.csv.",
    "Forget does not say that anything was forgotten, nor that nothing was: the rubric gives 0 to a right answer and "
    "to gibberish. Read it with knows and degenerate, and by class (lifelong_classes.csv): where a model falls back on "
    "refusals for people alone, forget is the share of questions on names.",
    "X-UY asks of what was trained. What else was lost stands in lifelong_untouched.csv.",
    "The sign of the modality gap's change (representation_drift.csv) says nothing where its interval holds 0: mostly "
    "before a model collapses.",
)


def cautions(standing: Standing, differences: Table, ranks: Table) -> list[str]:
    """What may not be concluded, as paragraphs of Markdown."""
    lines = [_pair(one, other, standing, differences) for one, other in PAIRS]
    lines += [line.format(methods_ranked(ranks)) for line in NOISE]
    return ["## What may not be concluded", "\n".join(f"- {line}" for line in lines if line)]


def _pair(one: str, other: str, standing: Standing, differences: Table) -> str:
    """How often each of a pair is ahead beyond the interval of their difference, of the cells with enough entities for
    one to be; empty where both are not there."""
    parts = []
    for metric in ("forget", "utility"):
        cells = [
            row
            for row in select(differences, metric=metric)
            if {row["method"], row["other"]} == {one, other} and row.get("difference")
        ]
        decidable = [row for row in cells if int(row["clusters"]) >= FEW]
        signs = [standing.ahead((row["model"], metric, row["column"]), one, other) for row in decidable]
        ahead = f"{one} is ahead in {signs.count(1)}, {other} in {signs.count(-1)}"
        said = [f"{ahead}, neither in {signs.count(0)} of {len(signs)} cells"] if signs else []
        said += [f"{few} undecidable"] if (few := len(cells) - len(decidable)) else []
        parts += [f"{metric}: {', '.join(said)}"] if said else []
    return f"{one} against {other}: no ranking, whatever stands here ({'; '.join(parts)})." if parts else ""
