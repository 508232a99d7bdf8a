"""Milestones: names for parts of a run, each of which only collects files.

needs  what the phases make
makes  nothing
"""


localrules:
    all,
    curate,
    draw,
    dataset,
    train,
    evaluate,
    review,
    export,
    table4,
    figures,
    robustness,
    lifelong,
    pocket_models,


rule curate:
    input:
        "<results>/curation/prompts.jsonl",


rule draw:
    input:
        "<results>/images/manifest.parquet",
        "<results>/images/filters.json",


rule dataset:
    input:
        "<results>/dataset/questions.jsonl",
        "<results>/dataset/statistics.json",
        expand("<results>/dataset/{name}.jsonl", name=["real", "world"]),
        expand("<results>/dataset/splits/{split}.json", split=RUNS.splits),


rule train:
    input:
        RUNS.trainings("table3"),


rule evaluate:
    input:
        RUNS.scores("table3"),


rule table4:
    input:
        targets.outputs(["table4"]),


rule figures:
    input:
        "<results>/figures/fig4.png",
        "<results>/figures/fig4.pdf",
        targets.outputs(["figures"]),


rule robustness:
    input:
        targets.outputs(["robustness"]),


rule lifelong:
    input:
        targets.outputs(["lifelong"]),
        lifelong.page(config),


rule review:
    input:
        expand("<results>/review/pictures-{shard}.html", shard=PARAMS.shards),
        "<results>/review/sample.html",
        "<results>/review/texts.html",
        "<results>/review/agreement.html",


rule export:
    input:
        "<results>/export/README.md",


rule pocket_models:
    input:
        "results/pocket-models/scorers/calibration.json",
        "results/pocket-models/llava/card.json",
        "results/pocket-models/llava/knowledge.csv",
