"""Lifelong: MLUBench. Tasks are forgotten one after another: `snakemake lifelong`.

needs  the base models' weights; of data `files`, the released tasks and their pictures; resources/published/
makes  <results>/lifelong/released/ (what `pocket` draws), questions.jsonl, statistics.json, run_config.yaml
       <results>/lifelong/<model>/{features.safetensors,before.jsonl,questions.jsonl,selection.json,gates/<gate>.jsonl}
       <results>/lifelong/<model>/experts/seed-<n>/<task>/{training.json,steps.jsonl,adapter/}
       <results>/lifelong/<model>/<method>/<order>/seed-<n>/<task>/{training.json,steps.jsonl,adapter/,answers.jsonl,
       rejection.jsonl,correctness.jsonl}, after each task of the order; of experts no model, but routes.jsonl
       <results>/lifelong/<model>/<method>/<order>/seed-<n>/{scores.json,drift.json}
       <results>/tables/mlubench.{csv,md,tex}, mlubench_{differences,vs_published,ranks}.csv, representation_drift.{csv,md},
       lifelong_{gate,untouched,classes,orders,cost,undo,data}.csv
       <results>/figures/lifelong_{matrix,utility,data}.{png,pdf}
       <results>/lifelong.html, of runs without PEBench, whose report.html has a section instead
"""

STAGE_OUTPUTS = {
    name: expand(f"{lifelong.STAGE}/{{task}}/{file}", task=LIFELONG.tasks, allow_missing=True)
    for name, file in lifelong.STAGE_FILES.items()
}
EXPERT_OUTPUTS = {
    name: expand(
        f"{lifelong.HOME}/{{model}}/experts/seed-{{seed}}/{{task}}/{file}",
        task=LIFELONG.tasks,
        allow_missing=True,
    )
    for name, file in lifelong.STAGE_FILES.items()
}
STAGE_ANSWERS = expand(f"{lifelong.STAGE}/{{task}}/answers.jsonl", task=LIFELONG.tasks, allow_missing=True)
MODEL_QUESTIONS = {
    "questions": "<results>/lifelong/{model}/questions.jsonl",
    "features": PARAMS.task_features,
    "base": PARAMS.base,
}


# Beside a run of PEBench, other settings of this phase leave that run's own record alone.
use rule write_run_config as write_lifelong_config with:
    output:
        "<results>/lifelong/run_config.yaml",
    log:
        "<logs>/write_lifelong_config.log",
    localrule: True
    params:
        decided=PARAMS.recorded_with_lifelong,
        code=code_digest("write_run_config", "workflow/run_config.py"),


rule draw_tasks:
    output:
        "<results>/lifelong/released/manifest.json",
    log:
        "<logs>/draw_tasks.log",
    benchmark:
        "<benchmarks>/draw_tasks/all.tsv"
    conda:
        "../envs/pocket.yaml"
    params:
        **LIFELONG.drawing,
        backend=config["lifelong"]["data"],
        version=version(1, "draw_tasks"),
    script:
        "../workflow_scripts/draw_tasks.py"


rule read_tasks:
    input:
        manifest=LIFELONG.released,
    output:
        questions="<results>/lifelong/questions.jsonl",
        statistics="<results>/lifelong/statistics.json",
    log:
        "<logs>/read_tasks.log",
    benchmark:
        "<benchmarks>/read_tasks/all.tsv"
    conda:
        "../envs/dataset.yaml"
    params:
        **LIFELONG.reading,
        source=LIFELONG.source,
        pictures=LIFELONG.pictures,
        version=version(2, "read_tasks"),
    script:
        "../workflow_scripts/read_tasks.py"


use rule encode_images as encode_tasks with:
    input:
        pictures="<results>/lifelong/questions.jsonl",
        base=PARAMS.base,
    output:
        "<results>/lifelong/{model}/features.safetensors",
    log:
        "<logs>/encode_tasks/{model}.log",
    benchmark:
        "<benchmarks>/encode_tasks/{model}.tsv"


rule answer_before:
    input:
        questions="<results>/lifelong/questions.jsonl",
        features=PARAMS.task_features,
        base=PARAMS.base,
    output:
        "<results>/lifelong/{model}/before.jsonl",
    log:
        "<logs>/answer_before/{model}.log",
    benchmark:
        "<benchmarks>/answer_before/{model}.tsv"
    conda:
        "../envs/evaluation.yaml"
    threads: JOBS.answering_threads
    resources:
        **JOBS.answering,
    params:
        spec=PARAMS.model,
        known_only=config["lifelong"]["known_only"],
        max_new_tokens=config["lifelong"]["max_new_tokens"],
        precision=TRAINING["precision"],
        decided=PARAMS.answering_batch,
        version=version(1, "answer_tasks"),
    script:
        "../workflow_scripts/answer_before.py"


rule select_questions:
    input:
        questions="<results>/lifelong/questions.jsonl",
        answers="<results>/lifelong/{model}/before.jsonl",
    output:
        questions="<results>/lifelong/{model}/questions.jsonl",
        selection="<results>/lifelong/{model}/selection.json",
    log:
        "<logs>/select_questions/{model}.log",
    benchmark:
        "<benchmarks>/select_questions/{model}.tsv"
    localrule: True
    conda:
        "../envs/evaluation.yaml"
    params:
        known_only=config["lifelong"]["known_only"],
        version=version(1, "select_questions"),
    script:
        "../workflow_scripts/select_questions.py"


# One job a method: to start one costs as much as a task at the pocket scale. Finished tasks are kept in work/lifelong/.
rule unlearn_tasks:
    input:
        **MODEL_QUESTIONS,
        check=UNRECORDED.stages,
    output:
        **STAGE_OUTPUTS,
    log:
        "<logs>/unlearn_tasks/{model}/{method}/{order}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/unlearn_tasks/{model}/{method}/{order}/seed-{seed}.tsv"
    wildcard_constraints:
        method=LIFELONG.named(LIFELONG.trained),
    conda:
        "../envs/training.yaml"
    threads: JOBS.training_threads
    resources:
        **JOBS.training,
    params:
        spec=PARAMS.model,
        lora=config["lifelong"]["lora"],
        lora_targets=PARAMS.lora_targets,
        order=LIFELONG.order,
        method_name=LIFELONG.method,
        options=LIFELONG.options,
        rates=LIFELONG.rates,
        max_steps=LIFELONG.max_steps,
        epochs=config["lifelong"]["train"]["epochs"],
        stop=LIFELONG.stop,
        reference_model=LIFELONG.reference_model,
        refusals=LIFELONG.refusals,
        loop=LIFELONG.loop,
        precision=TRAINING["precision"],
        method_code=LIFELONG.method_code,
        encoding=version(1, "encode_images"),
        version=1,
    script:
        "../workflow_scripts/unlearn_tasks.py"


rule train_experts:
    input:
        **MODEL_QUESTIONS,
        check=UNRECORDED.experts,
    output:
        **EXPERT_OUTPUTS,
    log:
        "<logs>/train_experts/{model}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/train_experts/{model}/seed-{seed}.tsv"
    conda:
        "../envs/training.yaml"
    threads: JOBS.training_threads
    resources:
        **JOBS.training,
    params:
        spec=PARAMS.model,
        lora=config["lifelong"]["lora"],
        lora_targets=PARAMS.lora_targets,
        tasks=LIFELONG.tasks,
        rates=LIFELONG.expert_rates,
        max_steps=config["lifelong"]["experts"]["max_steps"],
        epochs=config["lifelong"]["train"]["epochs"],
        stop=config["lifelong"]["experts"]["stop"],
        refusals=LIFELONG.refusals,
        loop=LIFELONG.loop,
        precision=TRAINING["precision"],
        method_code=LIFELONG.expert_code,
        encoding=version(1, "encode_images"),
        version=1,
    script:
        "../workflow_scripts/train_experts.py"


rule answer_stages:
    input:
        **MODEL_QUESTIONS,
        adapters=LIFELONG.adapters,
    output:
        STAGE_ANSWERS,
    log:
        "<logs>/answer_stages/{model}/{method}/{order}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/answer_stages/{model}/{method}/{order}/seed-{seed}.tsv"
    wildcard_constraints:
        method=LIFELONG.named(LIFELONG.trained),
    conda:
        "../envs/evaluation.yaml"
    threads: JOBS.answering_threads
    resources:
        **JOBS.answering,
    params:
        spec=PARAMS.model,
        order=LIFELONG.order,
        max_new_tokens=config["lifelong"]["max_new_tokens"],
        precision=TRAINING["precision"],
        decided=PARAMS.answering_batch,
        version=version(1, "answer_tasks"),
    script:
        "../workflow_scripts/answer_stages.py"


rule ask_gate:
    input:
        **MODEL_QUESTIONS,
        weights=lambda wildcards: PARAMS.receipts(LIFELONG.encoder(wildcards)),
    output:
        "<results>/lifelong/{model}/gates/{gate}.jsonl",
    log:
        "<logs>/ask_gate/{model}/{gate}.log",
    benchmark:
        "<benchmarks>/ask_gate/{model}/{gate}.tsv"
    wildcard_constraints:
        gate="|".join(lifelong.ASKING),
    conda:
        "../envs/evaluation.yaml"
    threads: JOBS.answering_threads
    resources:
        **JOBS.answering,
    params:
        spec=PARAMS.model,
        settings=LIFELONG.gate_settings,
        precision=TRAINING["precision"],
        decided=PARAMS.answering_batch,
        version=version(2, "ask_gate"),
    script:
        "../workflow_scripts/ask_gate.py"


# All stages of a gate: one base with every expert on it.
rule answer_experts:
    input:
        **MODEL_QUESTIONS,
        adapters=LIFELONG.adapters,
        replies=LIFELONG.replies,
    output:
        answers=STAGE_ANSWERS,
        routes=expand(f"{lifelong.STAGE}/{{task}}/routes.jsonl", task=LIFELONG.tasks, allow_missing=True),
        undo=f"{lifelong.STAGE}/undo.jsonl",
        memory=f"{lifelong.STAGE}/memory.json",
    log:
        "<logs>/answer_experts/{model}/{method}/{order}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/answer_experts/{model}/{method}/{order}/seed-{seed}.tsv"
    wildcard_constraints:
        method=LIFELONG.named(LIFELONG.mixtures),
    conda:
        "../envs/evaluation.yaml"
    threads: JOBS.answering_threads
    resources:
        **JOBS.answering,
    params:
        spec=PARAMS.model,
        order=LIFELONG.order,
        gate=LIFELONG.gate,
        threshold=LIFELONG.threshold,
        max_new_tokens=config["lifelong"]["max_new_tokens"],
        precision=TRAINING["precision"],
        decided=PARAMS.answering_batch,
        version=version(1, "answer_experts"),
    script:
        "../workflow_scripts/answer_experts.py"


rule judge_stages:
    input:
        answers=STAGE_ANSWERS,
        questions="<results>/lifelong/{model}/questions.jsonl",
        vocabulary="<results>/lifelong/questions.jsonl",
    output:
        expand(f"{lifelong.STAGE}/{{task}}/{{rubric}}.jsonl", task=LIFELONG.tasks, allow_missing=True),
    log:
        "<logs>/judge_stages/{model}/{method}/{order}/seed-{seed}/{rubric}.log",
    benchmark:
        "<benchmarks>/judge_stages/{model}/{method}/{order}/seed-{seed}/{rubric}.tsv"
    wildcard_constraints:
        rubric=LIFELONG.named(LIFELONG.rubrics),
    localrule: JOBS.here(JOBS.judging)
    conda:
        "../envs/evaluation.yaml"
    resources:
        **JOBS.judging,
    params:
        refusals=LIFELONG.refusals,
        rubric="{rubric}",
        judge=config["evaluation"]["judge"],
        decided=lambda wildcards: PARAMS.judge_identity(wildcards.rubric),
        code=code_digest("judge_stages", "evaluation/judge"),
    script:
        "../workflow_scripts/judge_stages.py"


rule score_stages:
    input:
        answers=STAGE_ANSWERS,
        rejection=expand(
            f"{lifelong.STAGE}/{{task}}/rejection.jsonl", task=LIFELONG.tasks, allow_missing=True
        ),
        correctness=expand(
            f"{lifelong.STAGE}/{{task}}/correctness.jsonl", task=LIFELONG.tasks, allow_missing=True
        ),
        questions="<results>/lifelong/{model}/questions.jsonl",
        vocabulary="<results>/lifelong/questions.jsonl",
        selection="<results>/lifelong/{model}/selection.json",
        trainings=LIFELONG.trainings,
    output:
        f"{lifelong.STAGE}/scores.json",
    log:
        "<logs>/score_stages/{model}/{method}/{order}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/score_stages/{model}/{method}/{order}/seed-{seed}.tsv"
    localrule: True
    conda:
        "../envs/evaluation.yaml"
    params:
        refusals=LIFELONG.refusals,
        order=LIFELONG.order,
        label=LIFELONG.label,
        settings=LIFELONG.training_settings,
        judge=PARAMS.judge_name,
        bootstrap=config["evaluation"]["bootstrap"],
        max_missing_share=config["evaluation"]["max_missing_share"],
        code=code_digest("score_stages", "lifelong/scores.py"),
    script:
        "../workflow_scripts/score_stages.py"


rule measure_drift:
    input:
        **MODEL_QUESTIONS,
        adapters=LIFELONG.adapters,
    output:
        f"{lifelong.STAGE}/drift.json",
    log:
        "<logs>/measure_drift/{model}/{method}/{order}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/measure_drift/{model}/{method}/{order}/seed-{seed}.tsv"
    conda:
        "../envs/evaluation.yaml"
    threads: JOBS.answering_threads
    resources:
        **JOBS.answering,
    params:
        spec=PARAMS.model,
        experts=lambda wildcards: wildcards.method in LIFELONG.mixtures,
        precision=TRAINING["precision"],
        settings=LIFELONG.drift_settings,
        version=version(1, "measure_drift"),
    script:
        "../workflow_scripts/measure_drift.py"


rule make_mlubench:
    input:
        scores=LIFELONG.files("scores.json"),
        trainings=LIFELONG.stage_files("training.json", LIFELONG.trained),
        experts=LIFELONG.expert_files("training.json"),
        adapters=LIFELONG.adapter_files,
        memory=LIFELONG.mixture_files("memory.json"),
        undo=LIFELONG.mixture_files("undo.jsonl"),
        before=expand("<results>/lifelong/{model}/before.jsonl", model=config["models"]),
        statistics="<results>/lifelong/statistics.json",
    output:
        csv=report("<results>/tables/mlubench.csv", caption="../report/mlubench.rst", category="Tables"),
        md="<results>/tables/mlubench.md",
        tex="<results>/tables/mlubench.tex",
        differences="<results>/tables/mlubench_differences.csv",
        versus="<results>/tables/mlubench_vs_published.csv",
        ranks="<results>/tables/mlubench_ranks.csv",
        untouched="<results>/tables/lifelong_untouched.csv",
        classes="<results>/tables/lifelong_classes.csv",
        orders="<results>/tables/lifelong_orders.csv",
        cost="<results>/tables/lifelong_cost.csv",
        undo="<results>/tables/lifelong_undo.csv",
    log:
        "<logs>/make_mlubench.log",
    benchmark:
        "<benchmarks>/make_mlubench/all.tsv"
    localrule: True
    conda:
        "../envs/paper.yaml"
    params:
        published=PARAMS.resource("published/mlubench_tables_2_and_23.csv"),
        order=LIFELONG.first_order,
        labels=LIFELONG.labels,
        references=LIFELONG.references,
        bootstrap=config["evaluation"]["bootstrap"],
        code=code_digest("make_mlubench", "reporting"),
    script:
        "../workflow_scripts/make_mlubench.py"


rule make_lifelong_gate:
    input:
        routes=LIFELONG.stage_files("routes.jsonl", LIFELONG.gates),
        questions=expand("<results>/lifelong/{model}/questions.jsonl", model=config["models"]),
        statistics="<results>/lifelong/statistics.json",
    output:
        csv=report(
            "<results>/tables/lifelong_gate.csv", caption="../report/lifelong_gate.rst", category="Tables"
        ),
        md="<results>/tables/lifelong_gate.md",
    log:
        "<logs>/make_lifelong_gate.log",
    benchmark:
        "<benchmarks>/make_lifelong_gate/all.tsv"
    localrule: True
    conda:
        "../envs/paper.yaml"
    params:
        orders=LIFELONG.orders,
        labels=LIFELONG.labels,
        gates=LIFELONG.gates,
        bootstrap=config["evaluation"]["bootstrap"],
        code=code_digest("make_lifelong_gate", "reporting"),
    script:
        "../workflow_scripts/make_lifelong_gate.py"


rule make_representation_drift:
    input:
        drifts=LIFELONG.drifts,
        statistics="<results>/lifelong/statistics.json",
    output:
        csv=report(
            "<results>/tables/representation_drift.csv",
            caption="../report/representation_drift.rst",
            category="Tables",
        ),
        md="<results>/tables/representation_drift.md",
    log:
        "<logs>/make_representation_drift.log",
    benchmark:
        "<benchmarks>/make_representation_drift/all.tsv"
    localrule: True
    conda:
        "../envs/paper.yaml"
    params:
        published=PARAMS.resource("published/mlubench_representation_drift.csv"),
        labels=LIFELONG.labels,
        code=code_digest("make_representation_drift", "reporting"),
    script:
        "../workflow_scripts/make_representation_drift.py"


rule plot_lifelong_data:
    input:
        statistics="<results>/lifelong/statistics.json",
    output:
        csv="<results>/tables/lifelong_data.csv",
        png=report(
            "<results>/figures/lifelong_data.png", caption="../report/lifelong_data.rst", category="Figures"
        ),
        pdf="<results>/figures/lifelong_data.pdf",
    log:
        "<logs>/plot_lifelong_data.log",
    benchmark:
        "<benchmarks>/plot_lifelong_data/all.tsv"
    localrule: True
    conda:
        "../envs/paper.yaml"
    params:
        code=code_digest("plot_lifelong_data", "reporting"),
    script:
        "../workflow_scripts/plot_lifelong_data.py"


rule plot_lifelong_matrix:
    input:
        table="<results>/tables/mlubench.csv",
    output:
        png=report(
            "<results>/figures/lifelong_matrix.png",
            caption="../report/lifelong_matrix.rst",
            category="Figures",
        ),
        pdf="<results>/figures/lifelong_matrix.pdf",
    log:
        "<logs>/plot_lifelong_matrix.log",
    benchmark:
        "<benchmarks>/plot_lifelong_matrix/all.tsv"
    localrule: True
    conda:
        "../envs/paper.yaml"
    params:
        code=code_digest("plot_lifelong_matrix", "reporting"),
    script:
        "../workflow_scripts/plot_lifelong_matrix.py"


rule plot_lifelong_utility:
    input:
        table="<results>/tables/mlubench.csv",
        untouched="<results>/tables/lifelong_untouched.csv",
    output:
        png=report(
            "<results>/figures/lifelong_utility.png",
            caption="../report/lifelong_utility.rst",
            category="Figures",
        ),
        pdf="<results>/figures/lifelong_utility.pdf",
    log:
        "<logs>/plot_lifelong_utility.log",
    benchmark:
        "<benchmarks>/plot_lifelong_utility/all.tsv"
    localrule: True
    conda:
        "../envs/paper.yaml"
    params:
        code=code_digest("plot_lifelong_utility", "reporting"),
    script:
        "../workflow_scripts/plot_lifelong_utility.py"


rule write_lifelong_report:
    input:
        lifelong=LIFELONG.report_files,
    output:
        page=report("<results>/lifelong.html", caption="../report/report.rst", category="Report"),
    log:
        "<logs>/write_lifelong_report.log",
    localrule: True
    conda:
        "../envs/paper.yaml"
    params:
        scale=config["scale"],
        seed=config["seed"],
        code=code_digest("write_lifelong_report", "reporting"),
    script:
        "../workflow_scripts/write_lifelong_report.py"
