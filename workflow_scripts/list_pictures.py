"""The pictures that are there already: who and what they show, and what does not fit."""

from mmunlearn.curation.picture_list import list_pictures
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    list_pictures(**it.output, **it.params["listing"])
