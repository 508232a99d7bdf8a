"""One attack on one model."""

from mmunlearn.models.loading import ModelSpec
from mmunlearn.robustness.attack import attack_model
from mmunlearn.robustness.subject import Asking, Subject
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    files, of = it.input, snakemake.wildcards
    subject = Subject(
        model=of.model, recipe=of.recipe, seed=int(of.seed), label=it.params["label"],
        spec=ModelSpec(**it.params["spec"]), adapter=files.adapter.parent, questions=files.questions,
        split=files.split, people=files.people, features=files.features,
        asking=Asking(**it.params["asking"], batch=it.batch),
        finetuned=files.get("finetuned"), goal=files.get("goal"),
    )  # fmt: skip
    more = {name: files.get(name) for name in ("unseen", "paraphrases") if files.get(name)}
    attack_model(it.params["attack"], subject, it.output[0], it.params["options"], more, work=it.work)
