"""mmunlearn: a multimodal unlearning benchmark from nothing to the paper's tables.

    snakemake --cores 2                       everything at the pocket scale
    snakemake --cores 2 dataset               up to the data set; rules/milestones.smk lists such targets
    snakemake -n --configfile presets/pocket-full.yaml

Phases, one rule file each: curation -> images -> dataset -> training -> evaluation -> paper. Beside them: weights
(fetched once), review (by people), export (the data set for others), robustness (attacks on the finished models),
lifelong (MLUBench), pocket (its shipped weights).
"""

from snakemake.utils import min_version

from mmunlearn.workflow.reading import extend, file_error

min_version("9.20")
if error := file_error("config.yaml", *workflow.overwrite_configfiles):
    raise error


configfile: "config.yaml"


extend(config, "config.yaml", workflow.overwrite_configfiles, workflow.config_settings.config)


pathvars:
    results=f"results/{config['scale']}",
    logs=f"logs/{config['scale']}",
    benchmarks=f"benchmarks/{config['scale']}",


include: "rules/common.smk"
include: "rules/milestones.smk"
include: "rules/weights.smk"
include: "rules/curation.smk"
include: "rules/images.smk"
include: "rules/review.smk"
include: "rules/dataset.smk"
include: "rules/training.smk"
include: "rules/evaluation.smk"
include: "rules/paper.smk"
include: "rules/figures.smk"
include: "rules/robustness.smk"
include: "rules/lifelong.smk"
include: "rules/export.smk"
include: "rules/pocket.smk"


rule all:
    default_target: True
    input:
        targets.default(config),
