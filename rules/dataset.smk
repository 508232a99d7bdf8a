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


def set_options(wildcards):
    """What a set reads of its backend's section, `dataset.<backend>`: keys of one set never rebuild another."""
    own = {
        "real": ["people", "events", "clip", "quick_gelu", "device"],
        "world": ["pope", "coco"],
        "replay": [],
    }
    section = config["dataset"].get(config["dataset"]["reference_sets"], {})
    return {key: section[key] for key in own[wildcards.set] if key in section}


def set_lists(wildcards):
    """The lists of a set's pictures, so that an edited one makes the set anew; the backend reports a missing one."""
    section, lists = set_options(wildcards), []
    if "people" in section:
        lists.append(f"{section['people']}/manifest.csv")
    if "pope" in section:
        lists += [f"{section['pope']}/coco_pope_{name}.json" for name in ("random", "popular", "adversarial")]
    return [path for path in lists if exists(path)]


def set_weights(wildcards):
    """Receipts of the weights that retrieve a set's pictures."""
    section = set_options(wildcards)
    return settings.receipts(config, [section["clip"]]) if "clip" in section else []


rule build_reference_set:
    input:
        events="<results>/curation/events.jsonl",
        lists=set_lists,
        weights=set_weights,
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
        options=set_options,
        n=lambda wildcards: config["dataset"][f"n_{wildcards.set}"],
        questions=config["dataset"]["questions"],
        answers=config["dataset"]["answers"],
        size=IMAGES["size"],
        seed=config["seed"],
        version=1,
    script:
        "../workflow_scripts/build_reference_set.py"


rule count_dataset:
    input:
        manifest="<results>/images/manifest.parquet",
        people="<results>/curation/people.jsonl",
        events="<results>/curation/events.jsonl",
        questions="<results>/dataset/questions.jsonl",
        splits=expand("<results>/dataset/splits/{split}.json", split=SPLITS),
    output:
        "<results>/dataset/statistics.json",
    log:
        "<logs>/count_dataset.log",
    benchmark:
        "<benchmarks>/count_dataset/all.tsv"
    conda:
        "../envs/dataset.yaml"
    params:
        code=code_digest("dataset/statistics.py", "curation/attributes.py", "records.py"),
    script:
        "../workflow_scripts/count_dataset.py"
