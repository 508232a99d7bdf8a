"""Figures 7, 9 and 10 of PEBench, of models that the tables do not need; Figures 4 and 8 are in paper.smk.

needs  <results>/scores/, <results>/answers/, <results>/models/*/*/seed-<n>/training.json, <results>/tables/,
       <results>/dataset/, <results>/curation/, <results>/images/
makes  <results>/figures/{fig7,fig9,fig10}.{png,pdf}, <results>/tables/figure9.csv
"""

FIRST = config["seeds"][0]
CONCEPT_ANSWERS = [(m, recipe.name, recipe.split, FIRST) for m in config["models"] for recipe in CONCEPTS]
ENDS = [
    (model, recipe, split, FIRST)
    for model in config["models"]
    for split in TRACE_SPLITS
    for recipe in ("finetuned", f"goal-{split}")
]


rule plot_figure7:
    input:
        scores=recipes.scores(STEPS),
        ends=recipes.scores(ENDS, suffix=".sampled"),
        trainings=recipes.trainings(
            (model, recipe.split("@")[0], split, seed) for model, recipe, split, seed in STEPS
        ),
    output:
        png=report("<results>/figures/fig7.png", caption="../report/fig7.rst", category="Figures"),
        pdf="<results>/figures/fig7.pdf",
    log:
        "<logs>/plot_figure7.log",
    benchmark:
        "<benchmarks>/plot_figure7/all.tsv"
    conda:
        "../envs/paper.yaml"
    params:
        code=code_digest("reporting", "recipes.py", "records.py"),
    script:
        "../workflow_scripts/plot_figure7.py"


rule plot_figure9:
    input:
        unlearned=recipes.answers(CONCEPT_ANSWERS, "dataset"),
        finetuned=recipes.answers([row for row in ENDS if row[1] == "finetuned"], "dataset"),
        goals=recipes.answers([row for row in ENDS if row[1].startswith("goal-event")], "dataset"),
        splits=expand("<results>/dataset/splits/{split}.json", split=TRACE_SPLITS),
        questions="<results>/dataset/questions.jsonl",
        people="<results>/curation/people.jsonl",
        events="<results>/curation/events.jsonl",
        manifest="<results>/images/manifest.parquet",
    output:
        csv="<results>/tables/figure9.csv",
        png=report("<results>/figures/fig9.png", caption="../report/fig9.rst", category="Figures"),
        pdf="<results>/figures/fig9.pdf",
    log:
        "<logs>/plot_figure9.log",
    benchmark:
        "<benchmarks>/plot_figure9/all.tsv"
    conda:
        "../envs/paper.yaml"
    params:
        method=recipes.label(config, CONCEPTS[0].name),
        percent=config["figures"]["percent"],
        code=code_digest(
            "reporting", "evaluation/names.py", "evaluation/rouge.py", "recipes.py", "records.py", "text.py"
        ),
    script:
        "../workflow_scripts/plot_figure9.py"


rule plot_figure10:
    input:
        table3="<results>/tables/table3.csv",
        table4="<results>/tables/table4.csv",
    output:
        png=report("<results>/figures/fig10.png", caption="../report/fig10.rst", category="Figures"),
        pdf="<results>/figures/fig10.pdf",
    log:
        "<logs>/plot_figure10.log",
    benchmark:
        "<benchmarks>/plot_figure10/all.tsv"
    conda:
        "../envs/paper.yaml"
    params:
        percent=config["figures"]["percent"],
        code=code_digest("reporting", "records.py"),
    script:
        "../workflow_scripts/plot_figure10.py"
