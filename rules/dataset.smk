"""Data set: questions, splits and the reference sets.

needs  <results>/images/manifest.parquet and its check, <results>/curation/
makes  <results>/dataset/questions.jsonl, splits/<target><percent>.json, real.jsonl, world.jsonl, replay.jsonl
"""


rule build_questions:
    input:
        manifest="<results>/images/manifest.parquet",
        check=ancient("<results>/images/filters.json"),
        people="<results>/curation/people.jsonl",
        events="<results>/curation/events.jsonl",
    output:
        "<results>/dataset/questions.jsonl",
    log:
        "<logs>/build_questions.log",
    benchmark:
        "<benchmarks>/build_questions/all.tsv"
    conda:
        "../envs/dataset.yaml"
    params:
        questions=config["dataset"]["questions"],
        answers=config["dataset"]["answers"],
        version=1,
    script:
        "../workflow_scripts/build_questions.py"


rule split_concepts:
    input:
        manifest="<results>/images/manifest.parquet",
    output:
        "<results>/dataset/splits/{split}.json",
    log:
        "<logs>/split_concepts/{split}.log",
    benchmark:
        "<benchmarks>/split_concepts/{split}.tsv"
    conda:
        "../envs/dataset.yaml"
    params:
        seed=config["seed"],
        version=1,
    script:
        "../workflow_scripts/split_concepts.py"


rule build_reference_set:
    output:
        "<results>/dataset/{set}.jsonl",
    log:
        "<logs>/build_reference_set/{set}.log",
    benchmark:
        "<benchmarks>/build_reference_set/{set}.tsv"
    conda:
        "../envs/dataset.yaml"
    params:
        source=config["dataset"]["reference_sets"],
        n=lambda wildcards: config["dataset"][f"n_{wildcards.set}"],
        questions=config["dataset"]["questions"],
        size=IMAGES["size"],
        seed=config["seed"],
        version=1,
    script:
        "../workflow_scripts/build_reference_set.py"
