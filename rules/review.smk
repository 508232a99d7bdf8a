"""Review by people: pages that ask for verdicts, and what the verdicts say of the automatic filters.

needs  <results>/curation/drafts/, <results>/images/manifest.parquet, the verdict files of `review.verdicts` if any
makes  <results>/review/texts.html, pictures-<shard>.html, sample.html, agreement.html
       <results>/tables/filter_agreement.{csv,md}

The pages work from the file system: pictures are shown at full size where a page lies in its run, and reduced where
it was mailed. People hand in the CSV files that the pages save.
"""


rule review_texts:
    input:
        people="<results>/curation/drafts/people.jsonl",
        events="<results>/curation/drafts/events.jsonl",
    output:
        "<results>/review/texts.html",
    log:
        "<logs>/review_texts.log",
    benchmark:
        "<benchmarks>/review_texts/all.tsv"
    localrule: True
    conda:
        "../envs/review.yaml"
    params:
        code=code_digest("review_texts", "review"),
    script:
        "../workflow_scripts/review_texts.py"


rule review_page:
    input:
        manifest="<results>/images/manifest.parquet",
        people="<results>/curation/people.jsonl",
        events="<results>/curation/events.jsonl",
    output:
        "<results>/review/pictures-{shard}.html",
    log:
        "<logs>/review_page/{shard}.log",
    benchmark:
        "<benchmarks>/review_page/{shard}.tsv"
    conda:
        "../envs/review.yaml"
    params:
        people_per_shard=IMAGES["people_per_shard"],
        shards=len(PARAMS.shards),
        code=code_digest("review_page", "review"),
    script:
        "../workflow_scripts/review_page.py"


rule review_sample:
    input:
        manifest="<results>/images/manifest.parquet",
        people="<results>/curation/people.jsonl",
        events="<results>/curation/events.jsonl",
    output:
        "<results>/review/sample.html",
    log:
        "<logs>/review_sample.log",
    benchmark:
        "<benchmarks>/review_sample/all.tsv"
    conda:
        "../envs/review.yaml"
    params:
        share=REVIEW["sample_share"],
        seed=config["seed"],
        code=code_digest("review_sample", "review"),
    script:
        "../workflow_scripts/review_sample.py"


rule compare_filters:
    input:
        manifest="<results>/images/manifest.parquet",
        truth=PARAMS.planted_truth,
    output:
        csv=report("<results>/tables/filter_agreement.csv", category="Tables"),
        md="<results>/tables/filter_agreement.md",
        page=report("<results>/review/agreement.html", category="Review"),
    log:
        "<logs>/compare_filters.log",
    benchmark:
        "<benchmarks>/compare_filters/all.tsv"
    localrule: True
    conda:
        "../envs/review.yaml"
    params:
        share=REVIEW["sample_share"],
        seed=config["seed"],
        reviewers=REVIEW["reviewers"],
        verdicts=PARAMS.verdict_files,
        code=code_digest("compare_filters", "review"),
    script:
        "../workflow_scripts/compare_filters.py"
