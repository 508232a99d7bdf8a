"""Training: finetuned, goal and unlearned models as LoRA adapters on one frozen base.

needs  <results>/dataset/, the base models' weights
makes  <results>/features/<model>/<suite>.safetensors
       <results>/models/<model>/<recipe>/seed-<n>/training.json, steps.jsonl and adapter/, where a recipe is
       `finetuned`, `goal-<split>`, `<method>-<split>`, `<method>-<split>-<concept>` (one concept of the split alone)
       or `<method>-<split>@<step>` (after so many optimizer steps; the adapter only)

steps.jsonl grows while a job runs: tail -f shows it.
"""


rule encode_images:
    input:
        pictures=pictures_of_suite,
        base=checkpoint,
    output:
        "<results>/features/{model}/{suite}.safetensors",
    log:
        "<logs>/encode_images/{model}/{suite}.log",
    benchmark:
        "<benchmarks>/encode_images/{model}/{suite}.tsv"
    conda:
        "../envs/training.yaml"
    resources:
        **ASKING,
    params:
        spec=model_spec,
        version=1,
    script:
        "../workflow_scripts/encode_images.py"


rule train_finetuned:
    input:
        questions="<results>/dataset/questions.jsonl",
        replay="<results>/dataset/replay.jsonl",
        features=expand("<results>/features/{{model}}/{suite}.safetensors", suite=["dataset", "replay"]),
        splits=[],
        base=checkpoint,
    output:
        training="<results>/models/{model}/finetuned/seed-{seed}/training.json",
        steps="<results>/models/{model}/finetuned/seed-{seed}/steps.jsonl",
        adapter="<results>/models/{model}/finetuned/seed-{seed}/adapter/adapter_model.safetensors",
        adapter_config="<results>/models/{model}/finetuned/seed-{seed}/adapter/adapter_config.json",
    log:
        "<logs>/train_finetuned/{model}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/train_finetuned/{model}/seed-{seed}.tsv"
    conda:
        "../envs/training.yaml"
    resources:
        **TRAINING["job"],
    params:
        spec=model_spec,
        recipe="finetuned",
        lora=TRAINING["lora"],
        lora_targets=lora_targets,
        optimisation=finetuning,
        learning_rate=TRAINING["finetune"]["learning_rate"],
        epochs=TRAINING["finetune"]["epochs"],
        precision=TRAINING["precision"],
        version=2,
    script:
        "../workflow_scripts/train_finetuned.py"


use rule train_finetuned as train_goal with:
    input:
        questions="<results>/dataset/questions.jsonl",
        replay="<results>/dataset/replay.jsonl",
        features=expand("<results>/features/{{model}}/{suite}.safetensors", suite=["dataset", "replay"]),
        splits=splits_of,
        base=checkpoint,
    output:
        training="<results>/models/{model}/goal-{split}/seed-{seed}/training.json",
        steps="<results>/models/{model}/goal-{split}/seed-{seed}/steps.jsonl",
        adapter="<results>/models/{model}/goal-{split}/seed-{seed}/adapter/adapter_model.safetensors",
        adapter_config="<results>/models/{model}/goal-{split}/seed-{seed}/adapter/adapter_config.json",
    log:
        "<logs>/train_goal/{model}/{split}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/train_goal/{model}/{split}/seed-{seed}.tsv"
    params:
        spec=model_spec,
        recipe=lambda wildcards: f"goal-{wildcards.split}",
        lora=TRAINING["lora"],
        lora_targets=lora_targets,
        optimisation=finetuning,
        learning_rate=TRAINING["finetune"]["learning_rate"],
        epochs=TRAINING["finetune"]["epochs"],
        precision=TRAINING["precision"],
        version=2,


rule train_unlearned:
    input:
        questions="<results>/dataset/questions.jsonl",
        features="<results>/features/{model}/dataset.safetensors",
        splits=splits_of,
        refusals=TRAINING["unlearn"]["refusals"],
        finetuned="<results>/models/{model}/finetuned/seed-{seed}/adapter/adapter_model.safetensors",
        base=checkpoint,
    output:
        training="<results>/models/{model}/{method}-{split}/seed-{seed}/training.json",
        steps="<results>/models/{model}/{method}-{split}/seed-{seed}/steps.jsonl",
        adapter="<results>/models/{model}/{method}-{split}/seed-{seed}/adapter/adapter_model.safetensors",
        adapter_config="<results>/models/{model}/{method}-{split}/seed-{seed}/adapter/adapter_config.json",
        kept=[],
    log:
        "<logs>/train_unlearned/{model}/{method}-{split}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/train_unlearned/{model}/{method}-{split}/seed-{seed}.tsv"
    conda:
        "../envs/training.yaml"
    resources:
        **TRAINING["job"],
    params:
        spec=model_spec,
        recipe=lambda wildcards: f"{wildcards.method}-{wildcards.split}",
        concept=None,
        keep_steps=[],
        options=method_options,
        optimisation=unlearning,
        learning_rate=lambda wildcards: method_row(wildcards)["learning_rate"],
        max_steps=lambda wildcards: method_row(wildcards)["max_steps"],
        epochs=TRAINING["unlearn"]["epochs"],
        stopping={key: TRAINING["unlearn"]["stop"][key] for key in settings.STOPPING},
        precision=TRAINING["precision"],
        version=2,
    script:
        "../workflow_scripts/train_unlearned.py"


# The same, with the adapters that Figure 7 asks for along the way.
use rule train_unlearned as train_traced with:
    output:
        training="<results>/models/{model}/{method}-{split}/seed-{seed}/training.json",
        steps="<results>/models/{model}/{method}-{split}/seed-{seed}/steps.jsonl",
        adapter="<results>/models/{model}/{method}-{split}/seed-{seed}/adapter/adapter_model.safetensors",
        adapter_config="<results>/models/{model}/{method}-{split}/seed-{seed}/adapter/adapter_config.json",
        kept=expand(
            "<results>/models/{{model}}/{{method}}-{{split}}@{step}/seed-{{seed}}/adapter/adapter_model.safetensors",
            step=TRACE_STEPS,
        ),
        kept_config=expand(
            "<results>/models/{{model}}/{{method}}-{{split}}@{step}/seed-{{seed}}/adapter/adapter_config.json",
            step=TRACE_STEPS,
        ),
    log:
        "<logs>/train_traced/{model}/{method}-{split}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/train_traced/{model}/{method}-{split}/seed-{seed}.tsv"
    wildcard_constraints:
        method="|".join(TRACE_METHODS).replace("+", "[+]") or "none",
        split="|".join(TRACE_SPLITS) or "none",
        seed=str(config["seeds"][0]),
    params:
        keep_steps=TRACE_STEPS,


use rule train_unlearned as train_concept with:
    output:
        training="<results>/models/{model}/{method}-{split}-{concept}/seed-{seed}/training.json",
        steps="<results>/models/{model}/{method}-{split}-{concept}/seed-{seed}/steps.jsonl",
        adapter="<results>/models/{model}/{method}-{split}-{concept}/seed-{seed}/adapter/adapter_model.safetensors",
        adapter_config="<results>/models/{model}/{method}-{split}-{concept}/seed-{seed}/adapter/adapter_config.json",
        kept=[],
    log:
        "<logs>/train_concept/{model}/{method}-{split}-{concept}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/train_concept/{model}/{method}-{split}-{concept}/seed-{seed}.tsv"
    params:
        recipe=lambda wildcards: f"{wildcards.method}-{wildcards.split}-{wildcards.concept}",
        concept=lambda wildcards: int(wildcards.concept),


ruleorder: train_goal > train_traced > train_unlearned
