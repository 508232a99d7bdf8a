"""Images: every person at every event, drawn until valid, or as found.

needs  <results>/curation/prompts.jsonl, and drafts/pictures.json where pictures are there; the generator's and the
       scorers' weights, the reviewers' verdicts if any
makes  <results>/images/<image_id>.png, manifest.parquet (every candidate), filters.json (the check);
       target `pilot`, which prints it: pilot.json, pilot.md (what the first shard says of all)

Candidates and their features lie in work/, which a retry or a changed threshold reads again.
"""


rule draw_references:
    input:
        prompts="<results>/curation/prompts.jsonl",
        weights=PARAMS.picture_weights,
    output:
        "<results>/images/references.npz",
    log:
        "<logs>/draw_references.log",
    benchmark:
        "<benchmarks>/draw_references/all.tsv"
    conda:
        "../envs/images.yaml"
    threads: JOBS.drawing_threads
    resources:
        **JOBS.drawing,
    params:
        pictures=PARAMS.pictures,
        references_per_event=IMAGES["references_per_event"],
        version=version(2, "draw_references"),
    script:
        "../workflow_scripts/draw_references.py"


rule draw_shard:
    input:
        prompts="<results>/curation/prompts.jsonl",
        references="<results>/images/references.npz",
        weights=PARAMS.picture_weights,
    output:
        candidates="<results>/images/shards/{shard}.parquet",
        scenes="<results>/images/shards/{shard}.npy",
    log:
        "<logs>/draw_shard/{shard}.log",
    benchmark:
        "<benchmarks>/draw_shard/{shard}.tsv"
    conda:
        "../envs/images.yaml"
    threads: JOBS.drawing_threads
    resources:
        **JOBS.drawing,
    params:
        **PARAMS.sampler,
        people_per_shard=IMAGES["people_per_shard"],
        max_attempts=PARAMS.attempts,
        version=version(2, "draw_shard"),
    script:
        "../workflow_scripts/draw_shard.py"


rule write_pilot:
    input:
        shard=f"<results>/images/shards/{PARAMS.shards[0]}.parquet",
    output:
        numbers="<results>/images/pilot.json",
        page="<results>/images/pilot.md",
    log:
        "<logs>/write_pilot.log",
    benchmark:
        "<benchmarks>/write_pilot/all.tsv"
    localrule: True
    conda:
        "../envs/images.yaml"
    params:
        batch=PARAMS.sampler["batch"],
        thresholds=IMAGES["thresholds"],
        max_attempts=PARAMS.attempts,
        redraws=PARAMS.redraws,
        benchmark=expand(rules.draw_shard.benchmark, shard=PARAMS.shards[0])[0],
        networks=PARAMS.networks,
        decided=PARAMS.pilot,
        code=code_digest("write_pilot", "workflow/pilot.py"),
    script:
        "../workflow_scripts/write_pilot.py"


rule pilot:
    input:
        "<results>/images/pilot.md",
    log:
        "<logs>/pilot.log",
    localrule: True
    conda:
        "../envs/images.yaml"
    params:
        code=code_digest("pilot"),
    script:
        "../workflow_scripts/pilot.py"


rule settle_pictures:
    input:
        shards=expand("<results>/images/shards/{shard}.parquet", shard=PARAMS.shards),
        scenes=expand("<results>/images/shards/{shard}.npy", shard=PARAMS.shards),
        prompts="<results>/curation/prompts.jsonl",
        references="<results>/images/references.npz",
        weights=PARAMS.picture_weights,
    output:
        "<results>/images/settled.parquet",
    log:
        "<logs>/settle_pictures.log",
    benchmark:
        "<benchmarks>/settle_pictures/all.tsv"
    conda:
        "../envs/images.yaml"
    threads: JOBS.drawing_threads
    resources:
        **JOBS.drawing,
    params:
        **PARAMS.sampler,
        candidates=PARAMS.redraws,
        decided=PARAMS.decided["rejected"],
        version=version(1, "settle_pictures"),
    script:
        "../workflow_scripts/settle_pictures.py"


rule merge_manifest:
    input:
        settled="<results>/images/settled.parquet",
        shards=expand("<results>/images/shards/{shard}.parquet", shard=PARAMS.shards),
    output:
        "<results>/images/manifest.parquet",
    log:
        "<logs>/merge_manifest.log",
    benchmark:
        "<benchmarks>/merge_manifest/all.tsv"
    conda:
        "../envs/images.yaml"
    params:
        reviewers=REVIEW["reviewers"],
        decided=PARAMS.decided["confirmed"],
        version=version(2, "merge_manifest"),
    script:
        "../workflow_scripts/merge_manifest.py"


rule check_images:
    input:
        manifest="<results>/images/manifest.parquet",
        truth=PARAMS.planted_truth,
        listed=PARAMS.listing_report,
    output:
        "<results>/images/filters.json",
    log:
        "<logs>/check_images.log",
    benchmark:
        "<benchmarks>/check_images/all.tsv"
    localrule: True
    conda:
        "../envs/images.yaml"
    params:
        **PARAMS.reported,
        min_accepted_share=IMAGES["min_accepted_share"],
        code=code_digest("check_images", "reporting/filter_statistics.py"),
    script:
        "../workflow_scripts/check_images.py"
