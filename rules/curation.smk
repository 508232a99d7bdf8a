"""Curation: who and what the pictures show.

needs  resources (backend `shipped`), an endpoint (`openai`) or the pictures of images.files (`files`); the reviewers'
       verdicts, if any
makes  <results>/curation/drafts/{people,events}.jsonl, people.jsonl, events.jsonl, prompts.jsonl; `files` also
       drafts/pictures.jsonl and, with what does not fit, drafts/pictures.json

A draft that somebody rejects is replaced; drafts go on as people.jsonl and events.jsonl once `accept_texts` lets
them. The language model's replies lie in work/, so that no text is asked for twice.
"""


rule list_pictures:
    output:
        pictures="<results>/curation/drafts/pictures.jsonl",
        report="<results>/curation/drafts/pictures.json",
    log:
        "<logs>/list_pictures.log",
    benchmark:
        "<benchmarks>/list_pictures/all.tsv"
    conda:
        "../envs/images.yaml"
    params:
        listing=PARAMS.listing,
        version=version(1, "list_pictures"),
    script:
        "../workflow_scripts/list_pictures.py"


rule curate_people:
    input:
        pictures=PARAMS.listed_pictures,
    output:
        "<results>/curation/drafts/people.jsonl",
    log:
        "<logs>/curate_people.log",
    benchmark:
        "<benchmarks>/curate_people/all.tsv"
    localrule: JOBS.here(JOBS.curating)
    conda:
        "../envs/curation.yaml"
    resources:
        **JOBS.curating,
    params:
        what="people",
        curator=config["curation"]["backend"],
        generator=config["images"]["generator"],
        decided=[PARAMS.decided["texts"], PARAMS.curator("people")],
        n=config["curation"]["n_people"],
        seed=config["seed"],
        version=version(3, "curate"),
    script:
        "../workflow_scripts/curate_people.py"


use rule curate_people as curate_events with:
    output:
        "<results>/curation/drafts/events.jsonl",
    log:
        "<logs>/curate_events.log",
    benchmark:
        "<benchmarks>/curate_events/all.tsv"
    localrule: JOBS.here(JOBS.curating)
    params:
        what="events",
        decided=[PARAMS.decided["texts"], PARAMS.curator("events")],
        n=config["curation"]["n_events"],


rule accept_texts:
    input:
        people_drafts="<results>/curation/drafts/people.jsonl",
        events_drafts="<results>/curation/drafts/events.jsonl",
    output:
        people="<results>/curation/people.jsonl",
        events="<results>/curation/events.jsonl",
    log:
        "<logs>/accept_texts.log",
    benchmark:
        "<benchmarks>/accept_texts/all.tsv"
    localrule: True
    conda:
        "../envs/curation.yaml"
    params:
        reviewers=REVIEW["reviewers"],
        decided=PARAMS.decided["texts"],
        version=version(1, "accept_texts"),
    script:
        "../workflow_scripts/accept_texts.py"


rule write_prompts:
    input:
        people="<results>/curation/people.jsonl",
        events="<results>/curation/events.jsonl",
        pictures=PARAMS.listed_pictures,
    output:
        "<results>/curation/prompts.jsonl",
    log:
        "<logs>/write_prompts.log",
    benchmark:
        "<benchmarks>/write_prompts/all.tsv"
    localrule: True
    conda:
        "../envs/curation.yaml"
    params:
        version=version(1, "write_prompts"),
    script:
        "../workflow_scripts/write_prompts.py"
