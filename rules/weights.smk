"""Weights: what presets beyond pocket load, checked against pins and locks.

needs  files in <weights.folder>/<name>/, a folder of yours in weights.sources, or weights.download: true
makes  <results>/weights/<name>.json; beside it, undeclared because never made anew: <weights.folder>/<name>/ and
       its lock <weights.folder>/<name>.lock.json
"""


rule fetch_weights:
    output:
        "<results>/weights/{weights}.json",
    log:
        "<logs>/fetch_weights/{weights}.log",
    benchmark:
        "<benchmarks>/fetch_weights/{weights}.tsv"
    localrule: JOBS.here(JOBS.fetching)
    conda:
        "../envs/weights.yaml"
    resources:
        **JOBS.fetching,
    params:
        decided=PARAMS.weights,
        version=1,
    script:
        "../workflow_scripts/fetch_weights.py"
