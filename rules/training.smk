"""Training: finetuned, goal and unlearned models as LoRA adapters on one frozen base.

needs  <results>/dataset/, the base models' weights
makes  <results>/features/<model>/<suite>.safetensors, of models that keep features
       <results>/models/<model>/<recipe>/seed-<n>/training.json, steps.jsonl and adapter/, where a recipe is
       `finetuned`, `goal-<split>`, `<method>-<split>` or `<method>-<split>-<concept>` (one concept of the split alone);
       of `<method>-<split>@<step>` (after so many optimizer steps, for Figure 7) the adapter only

steps.jsonl grows while a job runs: tail -f shows it.
"""

RUN = "<results>/models/{model}/{recipe}/seed-{seed}"
RUN_FILES = {
    "training": f"{RUN}/training.json",
    "steps": f"{RUN}/steps.jsonl",
    "adapter": f"{RUN}/adapter/adapter_model.safetensors",
    "adapter_config": f"{RUN}/adapter/adapter_config.json",
}


rule encode_images:
    input:
        pictures=PARAMS.suite_pictures,
        base=PARAMS.base,
    output:
        "<results>/features/{model}/{suite}.safetensors",
    log:
        "<logs>/encode_images/{model}/{suite}.log",
    benchmark:
        "<benchmarks>/encode_images/{model}/{suite}.tsv"
    conda:
        "../envs/training.yaml"
    threads: JOBS.answering_threads
    resources:
        **JOBS.answering,
    params:
        spec=PARAMS.tower,
        version=version(1, "encode_images"),
    script:
        "../workflow_scripts/encode_images.py"


rule train_finetuned:
    input:
        questions="<results>/dataset/questions.jsonl",
        replay="<results>/dataset/replay.jsonl",
        features=PARAMS.features("dataset", "replay"),
        splits=PARAMS.splits,
        base=PARAMS.base,
        check=UNRECORDED.model,
    output:
        **RUN_FILES,
    log:
        "<logs>/train_finetuned/{model}/{recipe}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/train_finetuned/{model}/{recipe}/seed-{seed}.tsv"
    wildcard_constraints:
        recipe=ids.FINETUNED,
    conda:
        "../envs/training.yaml"
    threads: JOBS.training_threads
    resources:
        **JOBS.training,
    params:
        spec=PARAMS.model,
        lora=TRAINING["lora"],
        lora_targets=PARAMS.lora_targets,
        loop=PARAMS.finetuning,
        epochs=TRAINING["finetune"]["epochs"],
        precision=TRAINING["precision"],
        code=PARAMS.method_code,
        version=3,
    script:
        "../workflow_scripts/train_finetuned.py"


use rule train_finetuned as train_goal with:
    log:
        "<logs>/train_goal/{model}/{recipe}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/train_goal/{model}/{recipe}/seed-{seed}.tsv"
    wildcard_constraints:
        recipe=f"{ids.GOAL}-{ids.SPLIT}",


rule train_unlearned:
    input:
        questions="<results>/dataset/questions.jsonl",
        features=PARAMS.features("dataset"),
        splits=PARAMS.splits,
        finetuned="<results>/models/{model}/finetuned/seed-{seed}/adapter/adapter_model.safetensors",
        base=PARAMS.base,
        check=UNRECORDED.model,
    output:
        **RUN_FILES,
    log:
        "<logs>/train_unlearned/{model}/{recipe}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/train_unlearned/{model}/{recipe}/seed-{seed}.tsv"
    wildcard_constraints:
        recipe=ids.UNLEARNED,
    conda:
        "../envs/training.yaml"
    threads: JOBS.training_threads
    resources:
        **JOBS.training,
    params:
        spec=PARAMS.model,
        options=PARAMS.method_options,
        refusals=PARAMS.refusals,
        loop=PARAMS.unlearning,
        max_steps=PARAMS.max_steps,
        epochs=TRAINING["unlearn"]["epochs"],
        stopping=PARAMS.stopping,
        precision=TRAINING["precision"],
        code=PARAMS.method_code,
        version=3,
    script:
        "../workflow_scripts/train_unlearned.py"


# The same training again, for its adapters along the way (Figure 7): another list of steps touches no table's model.
use rule train_unlearned as trace_unlearned with:
    output:
        adapters=expand(
            "<results>/models/{{model}}/{{recipe}}@{step}/seed-{{seed}}/adapter/adapter_model.safetensors",
            step=RUNS.steps,
        ),
        adapter_configs=expand(
            "<results>/models/{{model}}/{{recipe}}@{step}/seed-{{seed}}/adapter/adapter_config.json",
            step=RUNS.steps,
        ),
    log:
        "<logs>/trace_unlearned/{model}/{recipe}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/trace_unlearned/{model}/{recipe}/seed-{seed}.tsv"
