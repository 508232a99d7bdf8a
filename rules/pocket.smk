"""The pocket world: the truth about planted defects, and the weights of its scorers and its base model.

needs  nothing but this repository
makes  <results>/images/truth.jsonl
       results/pocket-models/scorers/ and llava/ (target pocket_models; resources/pocket/ holds the shipped ones), with
       knowledge.csv, what the base model knows
"""


rule write_truth:
    input:
        "<results>/images/manifest.parquet",
    output:
        "<results>/images/truth.jsonl",
    log:
        "<logs>/write_truth.log",
    benchmark:
        "<benchmarks>/write_truth/all.tsv"
    localrule: True
    conda:
        "../envs/pocket.yaml"
    params:
        seed=config["seed"],
        defect_rate=IMAGES["pocket"]["defect_rate"],
        code=code_digest("write_truth", "pocket/defects.py"),
    script:
        "../workflow_scripts/write_truth.py"


rule train_scorers:
    output:
        "results/pocket-models/scorers/card.json",
    log:
        "<logs>/train_scorers.log",
    conda:
        "../envs/pocket.yaml"
    params:
        seed=0,
        version=1,
    script:
        "../workflow_scripts/train_scorers.py"


rule calibrate_scorers:
    input:
        "results/pocket-models/scorers/card.json",
    output:
        "results/pocket-models/scorers/calibration.json",
    log:
        "<logs>/calibrate_scorers.log",
    conda:
        "../envs/pocket.yaml"
    params:
        seed=0,
        version=1,
    script:
        "../workflow_scripts/calibrate_scorers.py"


rule pretrain_model:
    output:
        "results/pocket-models/llava/card.json",
    log:
        "<logs>/pretrain_model.log",
    conda:
        "../envs/pocket.yaml"
    threads: 2
    params:
        settings=PARAMS.resource("pocket/pretraining.yaml"),
        version=2,
    script:
        "../workflow_scripts/pretrain_model.py"


rule measure_known:
    input:
        "results/pocket-models/llava/card.json",
    output:
        "results/pocket-models/llava/knowledge.csv",
    log:
        "<logs>/measure_known.log",
    conda:
        "../envs/pocket.yaml"
    params:
        version=1,
    script:
        "../workflow_scripts/measure_known.py"
