"""Paper: tables and the report.

needs  <results>/scores/, <results>/answers/, <results>/models/*/*/seed-<n>/training.json, <results>/images/,
       <results>/curation/, <results>/dataset/splits/, <results>/figures/fig8.png, resources/published/,
       resources/deviations.yaml
makes  <results>/tables/table3.{csv,md,tex}, table3_{ceiling,vs_published,ranks,differences}.csv,
       table4.{csv,md,tex}, table4_{ceiling,vs_published,ranks,differences}.csv
       <results>/report.html, <results>/run_config.yaml
"""


rule write_run_config:
    output:
        "<results>/run_config.yaml",
    log:
        "<logs>/write_run_config.log",
    localrule: True
    conda:
        "../envs/paper.yaml"
    params:
        decided=PARAMS.recorded,
        code=code_digest("write_run_config", "workflow/run_config.py"),
    script:
        "../workflow_scripts/write_run_config.py"


rule make_table3:
    input:
        scores=RUNS.scores("table3"),
    output:
        csv=report("<results>/tables/table3.csv", caption="../report/table3.rst", category="Tables"),
        md="<results>/tables/table3.md",
        tex="<results>/tables/table3.tex",
        ceiling="<results>/tables/table3_ceiling.csv",
        versus="<results>/tables/table3_vs_published.csv",
        ranks="<results>/tables/table3_ranks.csv",
        differences="<results>/tables/table3_differences.csv",
    log:
        "<logs>/make_table3.log",
    benchmark:
        "<benchmarks>/make_table3/all.tsv"
    localrule: True
    conda:
        "../envs/paper.yaml"
    params:
        table="table3",
        published=PARAMS.resource("published/pebench_table3.csv"),
        ceiling_seed=config["ceiling_seed"],
        bootstrap=config["evaluation"]["bootstrap"],
        code=code_digest("make_table3", "reporting"),
    script:
        "../workflow_scripts/make_table3.py"


use rule make_table3 as make_table4 with:
    input:
        scores=RUNS.scores("table4"),
    output:
        csv=report("<results>/tables/table4.csv", caption="../report/table4.rst", category="Tables"),
        md="<results>/tables/table4.md",
        tex="<results>/tables/table4.tex",
        ceiling="<results>/tables/table4_ceiling.csv",
        versus="<results>/tables/table4_vs_published.csv",
        ranks="<results>/tables/table4_ranks.csv",
        differences="<results>/tables/table4_differences.csv",
    log:
        "<logs>/make_table4.log",
    benchmark:
        "<benchmarks>/make_table4/all.tsv"
    localrule: True
    params:
        table="table4",
        published=PARAMS.resource("published/pebench_table4.csv"),


rule write_report:
    input:
        manifest="<results>/images/manifest.parquet",
        filters="<results>/images/filters.json",
        people="<results>/curation/people.jsonl",
        events="<results>/curation/events.jsonl",
        table3="<results>/tables/table3.csv",
        ceiling="<results>/tables/table3_ceiling.csv",
        versus="<results>/tables/table3_vs_published.csv",
        ranks="<results>/tables/table3_ranks.csv",
        differences="<results>/tables/table3_differences.csv",
        tradeoff="<results>/figures/fig8.png",
        answers=RUNS.answers("table3"),
        splits=expand("<results>/dataset/splits/{split}.json", split=RUNS.splits),
        trainings=RUNS.trainings("table3"),
        run_config="<results>/run_config.yaml",
        lifelong=LIFELONG.reported,
    output:
        page=report("<results>/report.html", caption="../report/report.rst", category="Report"),
    log:
        "<logs>/write_report.log",
    localrule: True
    conda:
        "../envs/paper.yaml"
    params:
        settings=PARAMS.report,
        deviations=PARAMS.resource("deviations.yaml"),
        benchmarks=f"benchmarks/{config['scale']}",
        labels=PARAMS.labels,
        sample_people=config["report"]["sample_people"],
        sample_events=config["report"]["sample_events"],
        code=code_digest("write_report", "reporting"),
    script:
        "../workflow_scripts/write_report.py"
