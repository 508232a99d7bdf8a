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
        adapter="<results>/models/{model}/{recipe}/seed-{seed}/adapter/adapter_model.safetensors",
        base=checkpoint,
    output:
        expand("<results>/answers/{{model}}/{{recipe}}/seed-{{seed}}/{suite}.jsonl", suite=SUITES),
    log:
        "<logs>/answer_questions/{model}/{recipe}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/answer_questions/{model}/{recipe}/seed-{seed}.tsv"
    conda:
        "../envs/evaluation.yaml"
    resources:
        mem_mb=4000,
    params:
        spec=model_spec,
        suites=SUITES,
        batch=config["evaluation"]["batch"],
        max_new_tokens=config["evaluation"]["max_new_tokens"],
        version=1,
    script:
        "../workflow_scripts/answer_questions.py"


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
    params:
        judge=config["evaluation"]["judge"],
        code=code_digest("evaluation/judge.py", "evaluation/rouge.py", "records.py"),
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
        judge=config["evaluation"]["judge"],
        bootstrap=config["evaluation"]["bootstrap"],
        max_missing_share=config["evaluation"]["max_missing_share"],
        code=code_digest("evaluation", "config.py", "seeds.py", "records.py"),
    script:
        "../workflow_scripts/score_answers.py"
