"""Vision features of one suite, once."""

from mmunlearn.models.features import encode_images
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    encode_images(it.output[0], **it.input, **it.params, batch=it.batch)
