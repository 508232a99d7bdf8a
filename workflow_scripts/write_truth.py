"""What is wrong with every drawn candidate, for the filters' recall and precision."""

from mmunlearn.pocket.defects import write_truth
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    write_truth(it.input[0], it.output[0], seed=it.params["seed"], defect_rate=it.params["defect_rate"])
