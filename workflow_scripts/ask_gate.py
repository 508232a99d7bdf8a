"""What a gate sees in every picture."""

from mmunlearn.lifelong.gates.ask import ask_gate
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    ask_gate(
        it.output[0], **it.gate, **it.input, **it.params, batch=it.batch, work=it.work, version=it.version
    )
