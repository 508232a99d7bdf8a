"""The weights of one name, checked and recorded."""

from pathlib import Path

from mmunlearn.weights.fetch import fetch_weights
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    fetch_weights(
        it.wildcards["weights"],
        it.output[0],
        folder=Path(it.params["folder"]),
        source=it.config["weights"]["sources"].get(it.wildcards["weights"]),
        download=it.config["weights"]["download"],
    )
