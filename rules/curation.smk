"""Curation: who and what the pictures show.

needs  resources (backend `shipped`)
makes  <results>/curation/people.jsonl, events.jsonl, prompts.jsonl
"""


rule curate_people:
    input:
        people=config["curation"]["people"],
    output:
        "<results>/curation/people.jsonl",
    log:
        "<logs>/curate_people.log",
    benchmark:
        "<benchmarks>/curate_people/all.tsv"
    conda:
        "../envs/curation.yaml"
    params:
        curator=config["curation"]["backend"],
        events=config["curation"]["events"],
        n=config["curation"]["n_people"],
        version=1,
    script:
        "../workflow_scripts/curate_people.py"


rule curate_events:
    input:
        events=config["curation"]["events"],
    output:
        "<results>/curation/events.jsonl",
    log:
        "<logs>/curate_events.log",
    benchmark:
        "<benchmarks>/curate_events/all.tsv"
    conda:
        "../envs/curation.yaml"
    params:
        curator=config["curation"]["backend"],
        people=config["curation"]["people"],
        n=config["curation"]["n_events"],
        version=1,
    script:
        "../workflow_scripts/curate_events.py"


rule write_prompts:
    input:
        people="<results>/curation/people.jsonl",
        events="<results>/curation/events.jsonl",
    output:
        "<results>/curation/prompts.jsonl",
    log:
        "<logs>/write_prompts.log",
    benchmark:
        "<benchmarks>/write_prompts/all.tsv"
    conda:
        "../envs/curation.yaml"
    params:
        version=1,
    script:
        "../workflow_scripts/write_prompts.py"
