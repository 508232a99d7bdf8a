"""Figures 4, 7, 8, 9 and 10 of PEBench.

needs  <results>/scores/, <results>/answers/, <results>/judgements/, <results>/models/*/*/seed-<n>/training.json,
       <results>/tables/, <results>/dataset/, <results>/curation/, <results>/images/
makes  <results>/figures/{fig4,fig7,fig8,fig9,fig10}.{png,pdf}, <results>/tables/figure9.csv
"""


rule plot_figure4:
    input:
        people="<results>/curation/people.jsonl",
        events="<results>/curation/events.jsonl",
    output:
        png=report("<results>/figures/fig4.png", caption="../report/fig4.rst", category="Figures"),
        pdf="<results>/figures/fig4.pdf",
    log:
        "<logs>/plot_figure4.log",
    benchmark:
        "<benchmarks>/plot_figure4/all.tsv"
    localrule: True
    conda:
        "../envs/paper.yaml"
    params:
        code=code_digest("plot_figure4", "reporting"),
    script:
        "../workflow_scripts/plot_figure4.py"


rule plot_figure7:
    input:
        scores=RUNS.scores("figure7"),
        trainings=RUNS.trainings("figure7"),
    output:
        png=report("<results>/figures/fig7.png", caption="../report/fig7.rst", category="Figures"),
        pdf="<results>/figures/fig7.pdf",
    log:
        "<logs>/plot_figure7.log",
    benchmark:
        "<benchmarks>/plot_figure7/all.tsv"
    localrule: True
    conda:
        "../envs/paper.yaml"
    params:
        code=code_digest("plot_figure7", "reporting"),
    script:
        "../workflow_scripts/plot_figure7.py"


rule plot_figure8:
    input:
        table="<results>/tables/table3.csv",
    output:
        png=report("<results>/figures/fig8.png", caption="../report/fig8.rst", category="Figures"),
        pdf="<results>/figures/fig8.pdf",
    log:
        "<logs>/plot_figure8.log",
    benchmark:
        "<benchmarks>/plot_figure8/all.tsv"
    localrule: True
    conda:
        "../envs/paper.yaml"
    params:
        code=code_digest("plot_figure8", "reporting"),
    script:
        "../workflow_scripts/plot_figure8.py"


rule plot_figure9:
    input:
        answers=RUNS.answers("figure9"),
        judgements=RUNS.judgements("figure9"),
        splits=expand("<results>/dataset/splits/{split}.json", split=RUNS.figure_splits),
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
    localrule: True
    conda:
        "../envs/paper.yaml"
    params:
        method=PARAMS.labels[config["figures"]["concept_method"]],
        percent=config["figures"]["percent"],
        judge=PARAMS.judge_name,
        code=code_digest("plot_figure9", "reporting"),
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
    localrule: True
    conda:
        "../envs/paper.yaml"
    params:
        percent=config["figures"]["percent"],
        code=code_digest("plot_figure10", "reporting"),
    script:
        "../workflow_scripts/plot_figure10.py"
