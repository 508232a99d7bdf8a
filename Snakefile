"""mmunlearn: a multimodal unlearning benchmark from nothing to the paper's tables.

    snakemake --cores 2                       everything at the pocket scale
    snakemake --cores 2 dataset               up to the data set; likewise curate, draw, train, evaluate
    snakemake -n --configfile presets/pocket-full.yaml

Phases, one rule file each: curation -> images -> dataset -> training -> evaluation -> paper. Beside them: weights
(fetched once), review (by people), export (the data set for others), robustness (attacks on the finished models),
pocket (its shipped weights).
"""

from snakemake.utils import min_version

min_version("9.20")


configfile: "config.yaml"


pathvars:
    results=f"results/{config['scale']}",
    logs=f"logs/{config['scale']}",
    benchmarks=f"benchmarks/{config['scale']}",


include: "rules/common.smk"
include: "rules/weights.smk"
include: "rules/curation.smk"
include: "rules/images.smk"
include: "rules/review.smk"
include: "rules/dataset.smk"
include: "rules/training.smk"
include: "rules/evaluation.smk"
include: "rules/paper.smk"
include: "rules/figures.smk"
include: "rules/robustness.smk"
include: "rules/export.smk"
include: "rules/pocket.smk"


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
    pocket_models,


rule all:
    default_target: True
    input:
        "<results>/run_config.yaml",
        "<results>/tables/filter_agreement.csv",
        "<results>/figures/fig4.png",
        targets.outputs(config["outputs"]),


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
        targets.outputs(["figures"]),


rule robustness:
    input:
        targets.outputs(["robustness"]),


rule review:
    input:
        expand("<results>/review/pictures-{shard:03d}.html", shard=GIVEN.shards),
        "<results>/review/sample.html",
        "<results>/review/texts.html",
        "<results>/review/agreement.html",


rule export:
    input:
        "<results>/export/README.md",
