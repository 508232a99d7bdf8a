"""Training: finetuned, goal and unlearned models as LoRA adapters on one frozen base.

needs  <results>/dataset/, the base models' weights
makes  <results>/features/<model>/<suite>.safetensors
       <results>/models/<model>/<recipe>/seed-<n>/training.json and adapter/
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
    params:
        spec=model_spec,
        batch=config["evaluation"]["batch"],
        version=1,
    script:
        "../workflow_scripts/encode_images.py"


rule train_finetuned:
    input:
        questions="<results>/dataset/questions.jsonl",
        replay="<results>/dataset/replay.jsonl",
        features=expand("<results>/features/{{model}}/{suite}.safetensors", suite=["dataset", "replay"]),
        base=checkpoint,
    output:
        training="<results>/models/{model}/finetuned/seed-{seed}/training.json",
        adapter="<results>/models/{model}/finetuned/seed-{seed}/adapter/adapter_model.safetensors",
        adapter_config="<results>/models/{model}/finetuned/seed-{seed}/adapter/adapter_config.json",
    log:
        "<logs>/train_finetuned/{model}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/train_finetuned/{model}/seed-{seed}.tsv"
    conda:
        "../envs/training.yaml"
    resources:
        mem_mb=4000,
    params:
        spec=model_spec,
        recipe="finetuned",
        lora=TRAINING["lora"],
        optimisation=optimisation("finetune"),
        learning_rate=TRAINING["finetune"]["learning_rate"],
        epochs=TRAINING["finetune"]["epochs"],
        version=1,
    script:
        "../workflow_scripts/train_finetuned.py"


use rule train_finetuned as train_goal with:
    input:
        questions="<results>/dataset/questions.jsonl",
        replay="<results>/dataset/replay.jsonl",
        features=expand("<results>/features/{{model}}/{suite}.safetensors", suite=["dataset", "replay"]),
        split="<results>/dataset/splits/{split}.json",
        base=checkpoint,
    output:
        training="<results>/models/{model}/goal-{split}/seed-{seed}/training.json",
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
        optimisation=optimisation("finetune"),
        learning_rate=TRAINING["finetune"]["learning_rate"],
        epochs=TRAINING["finetune"]["epochs"],
        version=1,


rule train_unlearned:
    input:
        questions="<results>/dataset/questions.jsonl",
        features="<results>/features/{model}/dataset.safetensors",
        split="<results>/dataset/splits/{split}.json",
        refusals=TRAINING["unlearn"]["refusals"],
        finetuned="<results>/models/{model}/finetuned/seed-{seed}/adapter/adapter_model.safetensors",
        base=checkpoint,
    output:
        training="<results>/models/{model}/{method}-{split}/seed-{seed}/training.json",
        adapter="<results>/models/{model}/{method}-{split}/seed-{seed}/adapter/adapter_model.safetensors",
        adapter_config="<results>/models/{model}/{method}-{split}/seed-{seed}/adapter/adapter_config.json",
    log:
        "<logs>/train_unlearned/{model}/{method}-{split}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/train_unlearned/{model}/{method}-{split}/seed-{seed}.tsv"
    conda:
        "../envs/training.yaml"
    resources:
        mem_mb=4000,
    params:
        spec=model_spec,
        options=method_options,
        optimisation=optimisation("unlearn"),
        learning_rate=lambda wildcards: method_row(wildcards)["learning_rate"],
        max_steps=lambda wildcards: method_row(wildcards)["max_steps"],
        stopping={key: TRAINING["unlearn"]["stop"][key] for key in settings.STOPPING},
        version=1,
    script:
        "../workflow_scripts/train_unlearned.py"


ruleorder: train_goal > train_unlearned
