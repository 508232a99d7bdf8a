"""Evaluation: answers -> judgements -> scores.

needs  <results>/models/, <results>/features/ or, of models that keep none, <results>/images/; <results>/dataset/
makes  <results>/answers/<model>/<recipe>/seed-<n>/<suite>.jsonl
       <results>/judgements/<model>/<recipe>/seed-<n>/<split>.jsonl (event targets)
       <results>/scores/<model>/<recipe>/seed-<n>/<split>.json
"""

SUITE_FILES = {
    "questions": [f"<results>/dataset/{name}.jsonl" for name in ("questions", "real", "world")],
    "features": PARAMS.features(*SUITES),
    "base": PARAMS.base,
}
ANSWERING = {
    "spec": PARAMS.model,
    "max_new_tokens": config["evaluation"]["max_new_tokens"],
    "precision": TRAINING["precision"],
    "decided": PARAMS.answering_batch,
    "version": version(2, "answer_questions"),
}


rule answer_questions:
    input:
        **SUITE_FILES,
        splits=RUNS.sample_splits,
        adapters=["<results>/models/{model}/{recipe}/seed-{seed}/adapter/adapter_model.safetensors"],
    output:
        expand("<results>/answers/{{model}}/{{recipe}}/seed-{{seed}}/{suite}.jsonl", suite=SUITES),
    log:
        "<logs>/answer_questions/{model}/{recipe}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/answer_questions/{model}/{recipe}/seed-{seed}.tsv"
    wildcard_constraints:
        recipe=ids.WHOLE,
    conda:
        "../envs/evaluation.yaml"
    threads: JOBS.answering_threads
    resources:
        **JOBS.answering,
    params:
        **ANSWERING,
        sample=RUNS.sample,
    script:
        "../workflow_scripts/answer_questions.py"


# Whole recipes that are asked the same questions, evaluation.recipes_per_job of them: one load of the base. What another
# one's change leaves as it is, is not asked again: its batches stay in work/answers/, also when they have been read.
for group in RUNS.answering_groups:
    workflow.ruleorder(group.rule, "answer_questions")

    rule:
        name:
            group.rule
        input:
            **SUITE_FILES,
            splits=group.splits,
            adapters=expand(
                "<results>/models/{{model}}/{recipe}/seed-{{seed}}/adapter/adapter_model.safetensors",
                recipe=group.recipes,
            ),
        output:
            expand(
                "<results>/answers/{{model}}/{recipe}/seed-{{seed}}/{suite}.jsonl",
                recipe=group.recipes,
                suite=SUITES,
            ),
        log:
            f"<logs>/answer_recipes/{{model}}/{group.name}/seed-{{seed}}.log",
        benchmark:
            f"<benchmarks>/answer_recipes/{{model}}/{group.name}/seed-{{seed}}.tsv"
        wildcard_constraints:
            seed=group.seeds,
        conda:
            "../envs/evaluation.yaml"
        threads: JOBS.answering_threads
        resources:
            **JOBS.answering,
        params:
            **ANSWERING,
            sample=group.sample,
        script:
            "../workflow_scripts/answer_questions.py"


# All traced steps of a recipe (Figure 7): one load of the base.
use rule answer_questions as answer_steps with:
    input:
        **SUITE_FILES,
        splits=PARAMS.splits,
        adapters=expand(
            "<results>/models/{{model}}/{{recipe}}@{step}/seed-{{seed}}/adapter/adapter_model.safetensors",
            step=RUNS.steps,
        ),
    output:
        expand(
            "<results>/answers/{{model}}/{{recipe}}@{step}/seed-{{seed}}/{suite}.jsonl",
            step=RUNS.steps,
            suite=SUITES,
        ),
    log:
        "<logs>/answer_steps/{model}/{recipe}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/answer_steps/{model}/{recipe}/seed-{seed}.tsv"
    params:
        sample=RUNS.figure_sample,


# All concepts that Figure 9 unlearns alone, of every target: one load of the base.
use rule answer_questions as answer_concepts with:
    input:
        **SUITE_FILES,
        splits=expand("<results>/dataset/splits/{split}.json", split=RUNS.figure_splits),
        adapters=expand(
            "<results>/models/{{model}}/{recipe}/seed-{{seed}}/adapter/adapter_model.safetensors",
            recipe=RUNS.concepts,
        ),
    output:
        expand(
            "<results>/answers/{{model}}/{recipe}/seed-{{seed}}/{suite}.jsonl",
            recipe=RUNS.concepts,
            suite=SUITES,
        ),
    log:
        "<logs>/answer_concepts/{model}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/answer_concepts/{model}/seed-{seed}.tsv"
    params:
        sample=RUNS.concept_sample,


rule judge_answers:
    input:
        answers="<results>/answers/{model}/{recipe}/seed-{seed}/dataset.jsonl",
        finetuned=PARAMS.finetuned_answers,
        goal=PARAMS.goal_answers,
        split="<results>/dataset/splits/{split}.json",
    output:
        "<results>/judgements/{model}/{recipe}/seed-{seed}/{split}.jsonl",
    log:
        "<logs>/judge_answers/{model}/{recipe}/seed-{seed}/{split}.log",
    benchmark:
        "<benchmarks>/judge_answers/{model}/{recipe}/seed-{seed}/{split}.tsv"
    localrule: JOBS.here(JOBS.judging)
    conda:
        "../envs/evaluation.yaml"
    resources:
        **JOBS.judging,
    params:
        rubric="g-eval",
        judge=config["evaluation"]["judge"],
        decided=PARAMS.judge_identity("g-eval"),
        code=code_digest("judge_answers", "evaluation/judge"),
    script:
        "../workflow_scripts/judge_answers.py"


rule score_answers:
    input:
        answers=expand("<results>/answers/{{model}}/{{recipe}}/seed-{{seed}}/{suite}.jsonl", suite=SUITES),
        finetuned=PARAMS.finetuned_real_answers,
        judgements=PARAMS.judgements,
        split="<results>/dataset/splits/{split}.json",
        people="<results>/curation/people.jsonl",
        dataset="<results>/dataset/questions.jsonl",
        real="<results>/dataset/real.jsonl",
        world="<results>/dataset/world.jsonl",
        training=PARAMS.training,
    output:
        "<results>/scores/{model}/{recipe}/seed-{seed}/{split}.json",
    log:
        "<logs>/score_answers/{model}/{recipe}/seed-{seed}/{split}.log",
    benchmark:
        "<benchmarks>/score_answers/{model}/{recipe}/seed-{seed}/{split}.tsv"
    localrule: True
    conda:
        "../envs/evaluation.yaml"
    params:
        label=PARAMS.label,
        settings=PARAMS.training_settings,
        sample=RUNS.sample,
        judge=PARAMS.judge_name,
        bootstrap=config["evaluation"]["bootstrap"],
        max_missing_share=config["evaluation"]["max_missing_share"],
        code=code_digest("score_answers"),
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
    localrule: True
    params:
        sample=RUNS.figure_sample,
