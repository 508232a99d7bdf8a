"""The data set in Hugging Face's form, with its data card."""

from mmunlearn.dataset.export import export_dataset
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    named = ("manifest", "people", "events", "questions", "splits", "statistics", "run_config")
    export_dataset(
        **{name: getattr(it.input, name) for name in named},
        readme=it.output.readme,
        checksums=it.output.checksums,
    )
