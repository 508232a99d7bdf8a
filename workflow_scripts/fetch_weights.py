"""The weights of one name, checked and recorded."""

from pathlib import Path

from mmunlearn.weights.fetch import fetch_weights
from mmunlearn.workflow import job

with job(snakemake) as it:
    fetch_weights(
        snakemake.wildcards.weights,
        it.output[0],
        folder=Path(it.params.folder),
        source=it.config["weights"]["sources"].get(snakemake.wildcards.weights),
        download=it.config["weights"]["download"],
    )
