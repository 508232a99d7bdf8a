"""Vision features of one suite, once."""

from mmunlearn.models.features import encode_images
from mmunlearn.models.loading import ModelSpec
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    encode_images(
        it.input.pictures,
        it.output[0],
        spec=ModelSpec(**it.params["spec"]),
        batch=it.batch,
    )
