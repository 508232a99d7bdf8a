"""Export: the data set in the form of Hugging Face's `datasets`, with a data card.

needs  <results>/images/manifest.parquet and its pictures, <results>/curation/, <results>/dataset/
makes  <results>/export/README.md and checksums.json, which lists all other files of that folder
"""


rule export_dataset:
    input:
        manifest="<results>/images/manifest.parquet",
        check=ancient("<results>/images/filters.json"),
        people="<results>/curation/people.jsonl",
        events="<results>/curation/events.jsonl",
        questions="<results>/dataset/questions.jsonl",
        splits=expand("<results>/dataset/splits/{split}.json", split=RUNS.splits),
        statistics="<results>/dataset/statistics.json",
    output:
        readme="<results>/export/README.md",
        checksums="<results>/export/checksums.json",
    log:
        "<logs>/export_dataset.log",
    benchmark:
        "<benchmarks>/export_dataset/all.tsv"
    conda:
        "../envs/export.yaml"
    params:
        scale=config["scale"],
        settings=PARAMS.public,
        code=code_digest("export_dataset", "dataset/export.py", "dataset/card.md.j2"),
    script:
        "../workflow_scripts/export_dataset.py"
