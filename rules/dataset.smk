"""Data set: questions, splits and the reference sets.

needs  <results>/images/manifest.parquet and its check, <results>/curation/; backend `files`: the folders of
       dataset.files
makes  <results>/dataset/questions.jsonl, splits/<target><percent>.json, real.jsonl, world.jsonl, replay.jsonl
"""


rule build_questions:
    input:
        manifest="<results>/images/manifest.parquet",
        check=ancient("<results>/images/filters.json"),
        people="<results>/curation/people.jsonl",
        events="<results>/curation/events.jsonl",
        pictures=PARAMS.listed_pictures,
    output:
        "<results>/dataset/questions.jsonl",
    log:
        "<logs>/build_questions.log",
    benchmark:
        "<benchmarks>/build_questions/all.tsv"
    localrule: True
    conda:
        "../envs/dataset.yaml"
    params:
        questions=config["dataset"]["questions"],
        answers=config["dataset"]["answers"],
        version=version(1, "build_questions"),
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
    localrule: True
    conda:
        "../envs/dataset.yaml"
    params:
        seed=config["seed"],
        version=version(1, "split_concepts"),
    script:
        "../workflow_scripts/split_concepts.py"


rule build_reference_set:
    input:
        events="<results>/curation/events.jsonl",
        weights=PARAMS.set_weights,
    output:
        "<results>/dataset/{set}.jsonl",
    log:
        "<logs>/build_reference_set/{set}.log",
    benchmark:
        "<benchmarks>/build_reference_set/{set}.tsv"
    conda:
        "../envs/dataset.yaml"
    threads: JOBS.drawing_threads
    resources:
        **JOBS.drawing,
    params:
        source=config["dataset"]["reference_sets"],
        options=PARAMS.set_options,
        n=PARAMS.set_size,
        questions=config["dataset"]["questions"],
        answers=config["dataset"]["answers"],
        size=IMAGES["size"],
        seed=config["seed"],
        version=version(2, "build_reference_set"),
    script:
        "../workflow_scripts/build_reference_set.py"


rule count_dataset:
    input:
        manifest="<results>/images/manifest.parquet",
        people="<results>/curation/people.jsonl",
        events="<results>/curation/events.jsonl",
        questions="<results>/dataset/questions.jsonl",
        splits=expand("<results>/dataset/splits/{split}.json", split=RUNS.splits),
    output:
        "<results>/dataset/statistics.json",
    log:
        "<logs>/count_dataset.log",
    benchmark:
        "<benchmarks>/count_dataset/all.tsv"
    localrule: True
    conda:
        "../envs/dataset.yaml"
    params:
        code=code_digest("count_dataset", "dataset/statistics.py"),
    script:
        "../workflow_scripts/count_dataset.py"
