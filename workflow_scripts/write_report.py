"""The self-contained report."""

from pathlib import Path

from mmunlearn.reporting.page import write_report
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    named = ("manifest", "filters", "people", "events", "table3", "ceiling", "versus", "tradeoff")
    lists = ("answers", "splits", "trainings")
    benchmarks = Path(it.params["benchmarks"])
    write_report(
        **{name: getattr(it.input, name) for name in (*named, *lists, "run_config")},
        images_dir=it.input.manifest.parent,
        benchmarks=sorted(benchmarks.rglob("*.tsv")),
        benchmarks_root=benchmarks,
        output=it.output[0],
        sample_people=it.params["sample_people"],
        sample_events=it.params["sample_events"],
    )
