"""Evaluation: answers -> judgements -> scores.

needs  <results>/models/, <results>/features/, <results>/dataset/
makes  <results>/answers/<model>/<recipe>/seed-<n>/<suite>.jsonl
       <results>/judgements/<model>/<recipe>/seed-<n>/<split>.jsonl (event targets)
       <results>/scores/<model>/<recipe>/seed-<n>/<split>.json
"""


rule answer_questions:
    input:
        questions=[f"<results>/dataset/{name}.jsonl" for name in ("questions", "real", "world")],
        features=expand("<results>/features/{{model}}/{suite}.safetensors", suite=SUITES),
        splits=lambda wildcards: samples.splits(config, wildcards.recipe),
        adapters=["<results>/models/{model}/{recipe}/seed-{seed}/adapter/adapter_model.safetensors"],
        base=checkpoint,
    output:
        expand("<results>/answers/{{model}}/{{recipe}}/seed-{{seed}}/{suite}.jsonl", suite=SUITES),
    log:
        "<logs>/answer_questions/{model}/{recipe}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/answer_questions/{model}/{recipe}/seed-{seed}.tsv"
    wildcard_constraints:
        recipe="finetuned|[a-z0-9+]+-(person|event|both)[0-9]{2}",
    conda:
        "../envs/evaluation.yaml"
    resources:
        **ASKING,
    params:
        spec=model_spec,
        suites=SUITES,
        sample=lambda wildcards: samples.sample(config, wildcards.recipe),
        max_new_tokens=config["evaluation"]["max_new_tokens"],
        version=1,
    script:
        "../workflow_scripts/answer_questions.py"


# All kept steps of a recipe (Figure 7): one load of the base.
use rule answer_questions as answer_steps with:
    input:
        questions=[f"<results>/dataset/{name}.jsonl" for name in ("questions", "real", "world")],
        features=expand("<results>/features/{{model}}/{suite}.safetensors", suite=SUITES),
        splits=["<results>/dataset/splits/{split}.json"],
        adapters=expand(
            "<results>/models/{{model}}/{{method}}-{{split}}@{step}/seed-{{seed}}/adapter/adapter_model.safetensors",
            step=TRACE_STEPS,
        ),
        base=checkpoint,
    output:
        expand(
            "<results>/answers/{{model}}/{{method}}-{{split}}@{step}/seed-{{seed}}/{suite}.jsonl",
            step=TRACE_STEPS,
            suite=SUITES,
        ),
    log:
        "<logs>/answer_steps/{model}/{method}-{split}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/answer_steps/{model}/{method}-{split}/seed-{seed}.tsv"
    params:
        sample=samples.sample(config, STEPS[0][1]) if STEPS else None,


# All concepts that Figure 9 unlearns alone, of every target: one load of the base.
use rule answer_questions as answer_concepts with:
    input:
        questions=[f"<results>/dataset/{name}.jsonl" for name in ("questions", "real", "world")],
        features=expand("<results>/features/{{model}}/{suite}.safetensors", suite=SUITES),
        splits=samples.splits(config, CONCEPTS[0].name),
        adapters=expand(
            "<results>/models/{{model}}/{recipe.name}/seed-{{seed}}/adapter/adapter_model.safetensors",
            recipe=CONCEPTS,
        ),
        base=checkpoint,
    output:
        expand(
            "<results>/answers/{{model}}/{recipe.name}/seed-{{seed}}/{suite}.jsonl",
            recipe=CONCEPTS,
            suite=SUITES,
        ),
    log:
        "<logs>/answer_concepts/{model}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/answer_concepts/{model}/seed-{seed}.tsv"
    params:
        sample=samples.sample(config, CONCEPTS[0].name),


rule judge_answers:
    input:
        answers="<results>/answers/{model}/{recipe}/seed-{seed}/dataset.jsonl",
        finetuned=finetuned_answers,
        goal=goal_answers,
        split="<results>/dataset/splits/{split}.json",
    output:
        "<results>/judgements/{model}/{recipe}/seed-{seed}/{split}.jsonl",
    log:
        "<logs>/judge_answers/{model}/{recipe}/seed-{seed}/{split}.log",
    benchmark:
        "<benchmarks>/judge_answers/{model}/{recipe}/seed-{seed}/{split}.tsv"
    conda:
        "../envs/evaluation.yaml"
    resources:
        **settings.judge_resources(config),
    params:
        judge=config["evaluation"]["judge"],
        decided=settings.judge_identity(config),
        code=code_digest("evaluation/judge.py", "evaluation/rouge.py", "records.py", "text.py"),
    script:
        "../workflow_scripts/judge_answers.py"


rule score_answers:
    input:
        answers=expand("<results>/answers/{{model}}/{{recipe}}/seed-{{seed}}/{suite}.jsonl", suite=SUITES),
        finetuned=finetuned_real_answers,
        judgements=judgements,
        split="<results>/dataset/splits/{split}.json",
        people="<results>/curation/people.jsonl",
        real="<results>/dataset/real.jsonl",
        world="<results>/dataset/world.jsonl",
    output:
        "<results>/scores/{model}/{recipe}/seed-{seed}/{split}.json",
    log:
        "<logs>/score_answers/{model}/{recipe}/seed-{seed}/{split}.log",
    benchmark:
        "<benchmarks>/score_answers/{model}/{recipe}/seed-{seed}/{split}.tsv"
    conda:
        "../envs/evaluation.yaml"
    params:
        suites=SUITES,
        label=lambda wildcards: recipes.label(config, wildcards.recipe),
        sample=lambda wildcards: samples.sample(config, wildcards.recipe),
        judge=settings.judge_name(config),
        bootstrap=config["evaluation"]["bootstrap"],
        max_missing_share=config["evaluation"]["max_missing_share"],
        code=code_digest("evaluation", "seeds.py", "records.py", "text.py"),
    script:
        "../workflow_scripts/score_answers.py"


# On the questions alone that Figure 7 asks after each step: finetuned and goal are asked all.
use rule score_answers as score_sampled with:
    output:
        "<results>/scores/{model}/{recipe}/seed-{seed}/{split}.sampled.json",
    log:
        "<logs>/score_sampled/{model}/{recipe}/seed-{seed}/{split}.log",
    benchmark:
        "<benchmarks>/score_sampled/{model}/{recipe}/seed-{seed}/{split}.tsv"
    params:
        sample=samples.sample(config, STEPS[0][1]) if STEPS else None,
