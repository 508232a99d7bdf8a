"""Images: every person at every event, drawn until valid.

needs  <results>/curation/prompts.jsonl, the scorers' weights
makes  <results>/images/<image_id>.png, manifest.parquet (every candidate), filters.json (the check)

Candidates and their features lie in work/, which a retry or a changed threshold reads again.
"""


rule draw_references:
    input:
        prompts="<results>/curation/prompts.jsonl",
        weights=f"{IMAGES['weights']}/card.json",
    output:
        "<results>/images/references.npz",
    log:
        "<logs>/draw_references.log",
    benchmark:
        "<benchmarks>/draw_references/all.tsv"
    conda:
        "../envs/images.yaml"
    params:
        pictures=PICTURES,
        references_per_event=IMAGES["references_per_event"],
        version=1,
    script:
        "../workflow_scripts/draw_references.py"


rule draw_shard:
    input:
        prompts="<results>/curation/prompts.jsonl",
        references="<results>/images/references.npz",
        weights=f"{IMAGES['weights']}/card.json",
    output:
        temp("<results>/images/shards/{shard}.parquet"),
    log:
        "<logs>/draw_shard/{shard}.log",
    benchmark:
        "<benchmarks>/draw_shard/{shard}.tsv"
    conda:
        "../envs/images.yaml"
    resources:
        mem_mb=2000,
    params:
        pictures=PICTURES,
        people_per_shard=IMAGES["people_per_shard"],
        thresholds={name: IMAGES["thresholds"][name] for name in settings.THRESHOLDS},
        batch=1 if IMAGES["stop_at_first_valid"] else IMAGES["candidates"],
        max_attempts=IMAGES["max_attempts"],
        version=1,
    script:
        "../workflow_scripts/draw_shard.py"


rule merge_manifest:
    input:
        expand("<results>/images/shards/{shard:03d}.parquet", shard=SHARDS),
    output:
        "<results>/images/manifest.parquet",
    log:
        "<logs>/merge_manifest.log",
    benchmark:
        "<benchmarks>/merge_manifest/all.tsv"
    conda:
        "../envs/images.yaml"
    params:
        version=1,
    script:
        "../workflow_scripts/merge_manifest.py"


rule check_images:
    input:
        manifest="<results>/images/manifest.parquet",
        truth="<results>/images/truth.jsonl" if IMAGES["generator"] == "pocket" else [],
    output:
        "<results>/images/filters.json",
    log:
        "<logs>/check_images.log",
    benchmark:
        "<benchmarks>/check_images/all.tsv"
    conda:
        "../envs/images.yaml"
    params:
        min_accepted_share=IMAGES["min_accepted_share"],
        code=code_digest("reporting/filter_statistics.py", "records.py"),
    script:
        "../workflow_scripts/check_images.py"
