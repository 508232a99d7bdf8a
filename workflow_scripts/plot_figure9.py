"""Each concept unlearned alone, every concept tested, with answers."""

from mmunlearn.reporting.figure9 import plot_figure9
from mmunlearn.workflow import job

with job(snakemake) as it:
    lists = ("unlearned", "finetuned", "goals", "splits")
    files = ("questions", "people", "events")
    plot_figure9(
        **{name: getattr(it.input, name) for name in (*lists, *files)},
        images=it.input.manifest.parent,
        method=it.params.method,
        percent=it.params.percent,
        csv=it.output.csv,
        png=it.output.png,
        pdf=it.output.pdf,
    )
