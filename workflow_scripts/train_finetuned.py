"""The finetuned model, or a goal model where the recipe has a split."""

from mmunlearn.training.launch import launch
from mmunlearn.training.run import FinetuningRun
from mmunlearn.training.train import train
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    run = FinetuningRun(**it.training, **it.input, **it.params)
    launch(train, run, output=it.output.training)
