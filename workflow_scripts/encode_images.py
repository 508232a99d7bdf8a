"""Vision features of every suite, once."""

from mmunlearn.models.features import encode_images
from mmunlearn.models.loading import ModelSpec
from mmunlearn.workflow import job

with job(snakemake) as it:
    encode_images(
        it.input.manifest,
        dict(zip(it.params.sets, it.input.sets, strict=True)),
        dict(zip(["dataset", *it.params.sets], it.output, strict=True)),
        spec=ModelSpec(**it.params.spec),
        batch=it.params.batch,
    )
