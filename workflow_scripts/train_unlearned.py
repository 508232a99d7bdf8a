"""An unlearned model, from the finetuned adapter, or its adapters along the way."""

from mmunlearn.training.launch import launch
from mmunlearn.training.refusal_reference import prepare_reference
from mmunlearn.training.run import UnlearningRun
from mmunlearn.training.train import write_outputs
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    run = UnlearningRun(**it.training, **it.input, **it.params)
    prepare_reference(run, it.output.paths)
    launch(write_outputs, run, outputs=dict(it.output))
