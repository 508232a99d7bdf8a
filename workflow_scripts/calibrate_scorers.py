"""The filters' thresholds, from the calibration world."""

from mmunlearn.pocket.calibration import calibrate
from mmunlearn.records import write_json
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    write_json(it.output[0], calibrate(it.input[0].parent, it.params["seed"]))
