"""Robustness: attacks on finished models. Off in the default run: `snakemake robustness`, or one of `outputs`.

needs  <results>/models/, <results>/answers/, <results>/features/, <results>/dataset/, <results>/images/,
       <results>/curation/, and what draws pictures
makes  <results>/robustness/<model>/<recipe>/seed-<n>/<split>/<attack>.json, an attack being relearning,
       quantisation, membership or paraphrase
       <results>/robustness/unseen/<split>.parquet, pictures that no model has trained on, and their features
       <results>/tables/robustness.{csv,md}, <results>/figures/robustness.{png,pdf}
"""


rule draw_unseen:
    input:
        manifest="<results>/images/manifest.parquet",
        prompts="<results>/curation/prompts.jsonl",
        references="<results>/images/references.npz",
        questions="<results>/dataset/questions.jsonl",
        split="<results>/dataset/splits/{split}.json",
        weights=PARAMS.picture_weights,
    output:
        "<results>/robustness/unseen/{split}.parquet",
    log:
        "<logs>/draw_unseen/{split}.log",
    benchmark:
        "<benchmarks>/draw_unseen/{split}.tsv"
    conda:
        "../envs/images.yaml"
    threads: JOBS.drawing_threads
    resources:
        **JOBS.drawing,
    params:
        **PARAMS.sampler,
        max_attempts=PARAMS.attempts,
        n=config["robustness"]["questions"],
        seed=config["seed"],
        version=version(1, "draw_unseen"),
    script:
        "../workflow_scripts/draw_unseen.py"


use rule encode_images as encode_unseen with:
    input:
        pictures="<results>/robustness/unseen/{split}.parquet",
        base=PARAMS.base,
    output:
        "<results>/robustness/unseen/{model}/{split}.safetensors",
    log:
        "<logs>/encode_unseen/{model}/{split}.log",
    benchmark:
        "<benchmarks>/encode_unseen/{model}/{split}.tsv"


rule attack_model:
    input:
        questions="<results>/dataset/questions.jsonl",
        features=PARAMS.dataset_features,
        split="<results>/dataset/splits/{split}.json",
        people="<results>/curation/people.jsonl",
        finetuned=PARAMS.finetuned_answers,
        goal=PARAMS.goal_answers,
        unseen=PARAMS.unseen_features,
        adapter="<results>/models/{model}/{recipe}/seed-{seed}/adapter/adapter_model.safetensors",
        base=PARAMS.base,
    output:
        relearning="<results>/robustness/{model}/{recipe}/seed-{seed}/{split}/relearning.json",
        quantisation="<results>/robustness/{model}/{recipe}/seed-{seed}/{split}/quantisation.json",
        membership="<results>/robustness/{model}/{recipe}/seed-{seed}/{split}/membership.json",
        paraphrase="<results>/robustness/{model}/{recipe}/seed-{seed}/{split}/paraphrase.json",
    log:
        "<logs>/attack_model/{model}/{recipe}/seed-{seed}/{split}.log",
    benchmark:
        "<benchmarks>/attack_model/{model}/{recipe}/seed-{seed}/{split}.tsv"
    conda:
        "../envs/evaluation.yaml"
    threads: JOBS.answering_threads
    resources:
        **JOBS.answering,
    params:
        spec=PARAMS.model,
        label=PARAMS.label,
        settings=PARAMS.attack_settings,
        paraphrases=PARAMS.paraphrases,
        attacks=PARAMS.attacks,
        decided=PARAMS.answering_batch,
        version=version(2, "attack_model"),
    script:
        "../workflow_scripts/attack_model.py"


rule make_robustness:
    input:
        attacks=RUNS.attacks,
    output:
        csv=report("<results>/tables/robustness.csv", caption="../report/robustness.rst", category="Tables"),
        md="<results>/tables/robustness.md",
    log:
        "<logs>/make_robustness.log",
    benchmark:
        "<benchmarks>/make_robustness/all.tsv"
    localrule: True
    conda:
        "../envs/paper.yaml"
    params:
        code=code_digest("make_robustness", "reporting"),
    script:
        "../workflow_scripts/make_robustness.py"


rule plot_robustness:
    input:
        table="<results>/tables/robustness.csv",
    output:
        png=report("<results>/figures/robustness.png", caption="../report/robustness.rst", category="Figures"),
        pdf="<results>/figures/robustness.pdf",
    log:
        "<logs>/plot_robustness.log",
    benchmark:
        "<benchmarks>/plot_robustness/all.tsv"
    localrule: True
    conda:
        "../envs/paper.yaml"
    params:
        code=code_digest("plot_robustness", "reporting"),
    script:
        "../workflow_scripts/plot_robustness.py"
